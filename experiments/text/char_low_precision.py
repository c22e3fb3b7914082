"""What training at few bits saves of a character language model: bits x method x sparsity.

    python -m experiments.text.char_low_precision --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.text.char_low_precision --seeds 3
        LSTM-256, dense and pruned to 90 % in (16, 16), at 8, 4, 2 and 1 bit
    python -m experiments.text.char_low_precision --seeds 3 --pieces 1
        one model that is missing, then exit 0; 3 if nothing is missing: for a loop of short
        processes

All methods of one sparsity start from the same trained float32 model and train for as many steps
more, with the same text in the same order; so does float32 itself, the control. "Rounded" is that
control, rounded and not trained. The text that is held out is cut in two, as in `char_int8`:
validation and test. Every finished model has a file of figures in --output and is not trained
again, so a run that was stopped goes on where it was."""

import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.console import console_of
from experiments.common.few_bits import ARGUMENTS, pieces_of
from experiments.common.few_bits_table import table
from experiments.common.files import write_json
from experiments.text.char_few_bits import Piece, figures
from experiments.text.char_measure import spread
from experiments.text.char_text import Text

console = console_of(160)

BITS = (8, 8), (4, 8), (2, 8), (1, 8), (4, 4)  # of weights, of activations
SPARSITIES = 0.9, 0.0
NOTHING_LEFT = 3


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    add_text(parser)
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    parser.add_argument(
        "--pieces", type=int, help="how many models this process trains at most (default: all)"
    )
    parser.add_argument(
        "--sparsities",
        nargs="+",
        type=float,
        choices=SPARSITIES,
        default=SPARSITIES,
        help="a part of the table (default: both)",
    )
    add_output(parser, "char_low_precision", "models and figures")
    return parser.parse_args(arguments)


def check(options):
    """Raises a `ValueError` for numbers that are none."""
    for name in ("seeds", "pieces"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"`--{name}` must be at least 1. Received: {value}")


def made(options, text):
    """The figures of all pieces, a dict; those that `--pieces` leaves missing are not in it."""
    found, left = {}, options.pieces
    bits = BITS[1:3] if options.quick else BITS
    make = functools.partial(Piece, quick=options.quick)
    for piece in pieces_of(options.sparsities, bits, ARGUMENTS, options.seeds, make):
        known = figures(piece, text, options.output, console, train=left is None or left > 0)
        if known is None:
            continue
        if left is not None and known.pop("made"):
            left -= 1
        known.pop("made", None)
        found[piece] = known
    return found, left is not None and left == options.pieces


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        check(options)
        text = Text(options.text)
        options.output.mkdir(parents=True, exist_ok=True)
        found, idle = made(options, text)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    title = f"Bits per character; seeds: {options.seeds}"
    console.print(table(found, title, "bits", spread))
    results = {
        "text": text.described,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "runs": [{**piece.asked(), **known} for piece, known in found.items()],
    }
    path = options.output / "low_precision.json"
    write_json(path, results)
    console.print(f"Figures: {path}")
    return NOTHING_LEFT if idle else 0


if __name__ == "__main__":
    sys.exit(main())
