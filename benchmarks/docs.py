"""Keeps the tables and pictures of docs/benchmarks.md."""

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


def refreshed(text, results, pictures):
    """A document with what stands between `<!-- table: NAME -->` and `<!-- end -->` made anew, and
    so `<!-- picture: NAME -->`.

    Args:
        text: of the document.
        results: `Results`, or None.
        pictures: the folder of the charts, `pictures` beside the document.
    """

    def fill(match):
        kind, name = match.groups()
        if kind == "picture":
            file = f"benchmarks-{name}.png"
            content = (
                f"![{PICTURES[name]}](pictures/{file})"
                if results and (pictures / file).exists()
                else NOTHING
            )
        else:
            table = TABLES[name](results) if results else None
            content = table.markdown() if table and table.rows else NOTHING
        return f"<!-- {kind}: {name} -->\n{content}\n<!-- end -->"

    return re.sub(r"<!-- (table|picture): (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def refresh(path, results):
    """Writes the tables of a document anew, the document whole or not at all."""
    path = pathlib.Path(path)
    text = refreshed(path.read_text(encoding="utf-8"), results, path.parent / "pictures")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
