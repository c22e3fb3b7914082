"""What 2:4, the pattern of sparse tensor cores, costs a character language model beside single
weights and blocks: half of the weights pruned.

    python -m experiments.text.char_n_of_m --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.text.char_n_of_m --tune
        the learning rate of every row, with seed 0, on the validation text
    python -m experiments.text.char_n_of_m --seeds 3
        LSTM-256, both kernels

All start from the same dense model and train for as many steps more. The recipe prunes by `Fisher`
over 2 to 30 % of them; "as published" is the workflow of Mishra et al. 2021 (arXiv 2104.08378): the
least weights of each group of four go at once, and the training of the dense model is repeated. The
tenth of the text before the last is for validation, the last one is read once. Finished models are
kept in --output and not trained again."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape
from rich.table import Table

from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.common.learning_rates import tune
from experiments.text.char_measure import spread
from experiments.text.char_network import bits_of
from experiments.text.char_recipe import Recipe
from experiments.text.char_text import Text
from experiments.text.char_training import trained

console = console_of(160)

DENSE, PUBLISHED = "dense, what all others start from", "2:4, as published"
CONTROL = "dense, trained on"
ROWS = {
    CONTROL: {"dropout": 0.5},
    "single weights": {"block_shape": (1, 1)},
    "2:4": {"pattern": (2, 4)},
    PUBLISHED: {"pattern": (2, 4), "ramp": (), "criterion": "l2", "dropout": 0.5},
    "4:8": {"pattern": (4, 8)},
    "1 x 16": {"block_shape": (1, 16)},
    "16 x 16": {"block_shape": (16, 16)},
}
# That of the control and of single weights is what --tune found, the others have the same; that of
# the published workflow is the dense model's.
LEARNING_RATES = dict.fromkeys(ROWS, 16e-3) | {PUBLISHED: 8e-3}


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    add_text(parser)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    parser.add_argument("--tune", action="store_true", help="learning rates instead, with seed 0")
    add_output(parser, "char_n_of_m", "models and figures")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"`--seeds` must be at least 1. Received: {options.seeds}")
    return options


def recipes(seed, quick=False):
    """The `Recipe`s of a seed by the names of `ROWS`, the dense one before them."""
    common = Recipe(units=256, steps=1250, dropout=0.5, seed=seed)
    scope = "model"
    if quick:  # so short a training cannot tell which kernel matters more
        common = dataclasses.replace(common, units=32, steps=40, batch=8, window=16)
        scope = "gate"
    pruned = dataclasses.replace(
        common, start=common.name(), dropout=0.35, sparsity=0.5, scope=scope
    )
    result = {DENSE: common}
    for number, (row, changes) in enumerate(ROWS.items()):
        recipe = dataclasses.replace(
            pruned, learning_rate=LEARNING_RATES[row], label=f"half{number}", **changes
        )
        dense = "pattern" not in changes and "block_shape" not in changes
        result[row] = dataclasses.replace(recipe, sparsity=0.0) if dense else recipe
    return result


def tune_rates(options, text):
    """The rates of all rows but those that the dense model has chosen, on the validation text."""
    asked = recipes(0, options.quick)
    trained(asked.pop(DENSE), text, options.output, console)
    del asked[PUBLISHED]

    def error(recipe, rate):
        label = f"{recipe.label}-{rate:g}"
        recipe = dataclasses.replace(recipe, learning_rate=rate, label=label)
        return trained(recipe, text, options.output, console).bits

    title = "LSTM, bits per character of the validation text"
    tune({"lstm": asked}, error, spread, lambda _: title, options.output, console)


def figures(recipe, text, folder):
    """What a model is worth, a dict: bits of validation and test, sparsity, seconds."""
    one = trained(recipe, text, folder, console)
    return {
        "learning_rate": recipe.learning_rate,
        "validation": one.bits,
        "test": bits_of(one.model(), *text.final()),
        "sparsity": one.sparsity,
        "seconds": one.seconds,
    }


def table(rows):
    """A `rich` table of the figures of all seeds: dict of names to lists of dicts."""
    several = len(rows[DENSE])
    made = Table(title=f"Bits per character, half of the weights pruned; seeds: {several}")
    for heading in ("", "rate", "sparsity", "validation", "test, and against dense, trained on"):
        made.add_column(heading)
    dense = sum(one["test"] for one in rows[CONTROL]) / several
    for name, runs in rows.items():
        made.add_row(
            name,
            f"{runs[0]['learning_rate']:g}",
            f"{100 * runs[0]['sparsity']:.1f} %",
            spread([one["validation"] for one in runs]),
            spread([one["test"] for one in runs], None if name in (DENSE, CONTROL) else dense),
        )
    return made


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        text = Text(options.text, validation=True)
        options.output.mkdir(parents=True, exist_ok=True)
        if options.tune:
            tune_rates(options, text)
            return 0
        rows = {}
        for seed in range(1, options.seeds + 1):
            for name, recipe in recipes(seed, options.quick).items():
                rows.setdefault(name, []).append(figures(recipe, text, options.output))
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(table(rows))
    path = options.output / "n_of_m.json"
    versions = {one.__name__: one.__version__ for one in (tf, keras)}
    write_json(path, {"text": text.described, "versions": versions, "rows": rows})
    console.print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
