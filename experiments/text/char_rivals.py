"""The rivals for the same bytes, each trained as well as its validation text can tell.

    python -m experiments.text.char_rivals --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.text.char_rivals --seeds 3 --jobs 2
        on Python's own help, which is small: what overfits least wins
    python -m experiments.text.char_rivals --seeds 3 --jobs 2 --text library
        on the modules of its standard library, twelve times as long: what learns most wins

An LSTM-512 of which 90 % is pruned, beside every other network of as many parameters: a small dense
one, one made narrow by `UnitPruning`, a wider one pruned further; and beside larger dense ones, the
largest of which has a rival of its own: twice the units, pruned to as many weights. Of each kind
the peak of the learning rate, the dropout and, of the small one, the number of steps are searched
with seed 0 on the validation text (the tenth before the last): one after the other, up and down
from where it begins, until nothing gets better. A kind that says so takes over what was found for
another. Then come seeds 1, 2, ..., and only these are asked what they make of the test text (the
last tenth), once. No kind starts from a trained model, so all have as many steps as they say, in
all. With --jobs each training has a share of the processor's cores to itself. Finished models are
kept in --output and not trained again; without these, --known takes over what an earlier run on the
same text has found, and measures and trains only what --kinds asks for."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.console import console_of
from experiments.common.files import known_rows, write_json
from experiments.text.char_rivals_search import Search, Trainings, kinds_of
from experiments.text.char_rivals_table import measured, table
from experiments.text.char_text import Text

console = console_of(160)


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "small models and few steps")
    add_text(parser)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: 1)")
    parser.add_argument(
        "--steps", type=int, help="of each that are not searched (default: 5000, with --quick 40)"
    )
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="some rows of the table only")
    parser.add_argument(
        "--known", type=pathlib.Path, metavar="FILE", help="figures of an earlier run (rivals.json)"
    )
    add_output(parser, "char_rivals", "models and figures")
    return parser.parse_args(arguments)


def check(options, kinds):
    """Raises a `ValueError` for what would fail only after minutes of training."""
    for name in ("seeds", "jobs", "steps"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"`--{name}` must be at least 1. Received: {value}")
    for kind in options.kinds or ():
        if kind not in kinds:
            raise ValueError(f"`--kinds` are {', '.join(map(repr, kinds))}. Received: {kind!r}")


def main(arguments=None):
    """Searches, trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        text = Text(options.text, validation=True)
        kinds = kinds_of(len(text.characters), options.quick, options.steps)
        check(options, kinds)
        known = known_rows(options.known, "text", text.described)
        options.output.mkdir(parents=True, exist_ok=True)
        tried = {name: row["tried"] for name, row in known.items()}
        search = Search(kinds, Trainings(text, options, console), options.seeds, tried)
        found = search.run(options.kinds or list(kinds))
        rows = known | {name: measured(one, text, options.output) for name, one in found.items()}
        rows = {name: rows[name] for name in kinds if name in rows}
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(table(rows))
    path = options.output / "rivals.json"
    write_json(
        path,
        {
            "text": text.described,
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "python": sys.version.split()[0],
            "jobs": options.jobs,
            "rows": rows,
        },
    )
    console.print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
