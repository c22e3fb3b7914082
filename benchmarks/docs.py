"""Keeps the tables and pictures of docs/benchmarks.md; `filled` does it for other documents."""

import os
import pathlib
import re
import tempfile

from benchmarks.tables import TABLES

NOTHING = (
    "Not measured yet: `python -m benchmarks` measures, `--draw` draws, `--table` writes this."
)
PICTURES = {
    "sparsity": "Speed-up of LSTM layers over the fastest dense peer, by sparsity",
    "cells": "Speed-up of GRU and SimpleRNN layers over the fastest dense peer, by sparsity",
    "shapes": "Speed-up over the fastest dense peer, by block shape",
    "peers": "Everybody's times on the problems of the figures to reach",
    "roofline": "Share of the roofline, by sparsity",
    "products": "Speed-up of block-sparse products over the fastest dense one",
}


def filled(text, content):
    """A document with what stands between `<!-- table: NAME -->` and `<!-- end -->`, or between
    `<!-- picture: NAME -->` and that, made anew.

    Args:
        text: of the document.
        content: what `content(kind, name)` returns stands there then.
    """

    def fill(match):
        kind, name = match.groups()
        return f"<!-- {kind}: {name} -->\n{content(kind, name)}\n<!-- end -->"

    return re.sub(r"<!-- (table|picture): (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def refreshed(text, results, pictures):
    """docs/benchmarks.md with its tables and pictures made anew.

    Args:
        text: of the document.
        results: `Results`, or None.
        pictures: the folder of the charts, `pictures` beside the document.
    """

    def content(kind, name):
        if kind == "picture":
            file = f"benchmarks-{name}.png"
            there = results and (pictures / file).exists()
            return f"![{PICTURES[name]}](pictures/{file})" if there else NOTHING
        table = TABLES[name](results) if results else None
        return table.markdown() if table and table.rows else NOTHING

    return filled(text, content)


def refresh(path, results):
    """Writes the tables of docs/benchmarks.md anew, the document whole or not at all."""
    path = pathlib.Path(path)
    write(path, refreshed(path.read_text(encoding="utf-8"), results, path.parent / "pictures"))


def write(path, text):
    """Replaces a document whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
