"""What brings a coarsely pruned character language model nearer to the dense one: one lever at a
time, then the winners together.

    python -m experiments.text.char_ablation --quick
        a minute, to see it work; its accuracy means nothing
    python -m experiments.text.char_ablation --seeds 3
        LSTM-512 at 90 % in 16 x 16, every row
    python -m experiments.text.char_ablation --only dense plain best
        some rows, one seed
    python -m experiments.text.char_ablation --block 1x16
        another block shape
    python -m experiments.text.char_ablation --cell gru --only dense best "best, gate by gate"

Finished models are kept in --output and not trained again, so a run that was stopped goes on where
it was, and more rows, seeds or blocks can be added later. The table is printed, and written to
`ablation.json` with every figure in it."""

import dataclasses
import json
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.markup import escape
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, add_text, block_shape, quick_parser
from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.text.char_measure import spread
from experiments.text.char_network import small_units
from experiments.text.char_recipe import Recipe
from experiments.text.char_text import Text
from experiments.text.char_training import trained

console = console_of()

DENSE = {"dropout": 0.5, "sparsity": 0.0}
# Of as many parameters as the pruned ones; as many steps as one of these has together with the
# dense one that it starts from.
AS_MANY = "as many parameters"
SMALL = {"units": AS_MANY, "dropout": 0.0, "sparsity": 0.0, "steps": 5000}
PLAIN = {"dropout": 0.2, "ramp": (0.1, 0.4), "criterion": "l2"}
FRESH = {"dropout": 0.2, "ramp": (0.02, 0.3), "criterion": "fisher"}
BEST = {**FRESH, "start": "dense"}
# What each row changes in the common recipe. `start` names the row whose model, of the same seed,
# it starts from.
ROWS = {
    "dense": DENSE,
    "dense, twice": {**DENSE, "start": "dense"},
    "dense, half the rate": {**DENSE, "learning_rate": 4e-3},
    "dense, twice the rate": {**DENSE, "learning_rate": 16e-3},
    "small dense": SMALL,
    "small dense, half the rate": {**SMALL, "learning_rate": 4e-3},
    "small dense, twice the rate": {**SMALL, "learning_rate": 16e-3},
    "plain": PLAIN,
    "plain, defaults of BlockPruning": {**PLAIN, "criterion": "max", "scope": "gate"},
    "plain, Fisher": {**PLAIN, "criterion": "fisher"},
    "plain, from dense": {**PLAIN, "start": "dense"},
    "best": BEST,
    "best, GLP": {**BEST, "lasso": 2e-6},
    "best, stronger GLP": {**BEST, "lasso": 1e-5},
    "best, GLP of 3e-5": {**BEST, "lasso": 3e-5},
    "best, GLP of 1e-4": {**BEST, "lasso": 1e-4},
    "best, from random weights, twice the steps": {**FRESH, "steps": 5000},
    "best, from random weights, twice the steps, stronger GLP": {
        **FRESH,
        "steps": 5000,
        "lasso": 1e-5,
    },
    "best, late ramp": {**BEST, "ramp": (0.02, 0.6)},
    "best, ramp to the last step": {**BEST, "ramp": (0.02, 1.0)},
    "best, half the rate": {**BEST, "learning_rate": 4e-3},
    "best, twice the rate": {**BEST, "learning_rate": 16e-3},
    "best, stronger GLP, twice the rate": {**BEST, "lasso": 1e-5, "learning_rate": 16e-3},
    "best, stronger GLP, four times the rate": {**BEST, "lasso": 1e-5, "learning_rate": 32e-3},
    "best, rate not rewound": {**BEST, "learning_rate": 8e-4},
    "best, kernel by kernel": {**BEST, "scope": "kernel"},
    "best, gate by gate": {**BEST, "scope": "gate"},
    "best, diagonal kept": {**BEST, "keep_diagonal": True},
    "best, LAMP": {**BEST, "criterion": "lamp-fisher"},
    "best, units in order": {**BEST, "reorder": True},
    "best, regrowth": {**BEST, "regrowth": 0.3},
    "best, distillation": {**BEST, "distillation": 0.5},
}


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    add_text(parser)
    parser.add_argument(
        "--cell", choices=("lstm", "gru"), default="lstm", help="kind of layer (default: lstm)"
    )
    parser.add_argument("--units", type=int, help="of the layer (default: 512, with --quick 64)")
    parser.add_argument(
        "--sparsity", type=float, default=0.9, help="of the pruned models (default: 0.9)"
    )
    parser.add_argument(
        "--block",
        type=block_shape,
        default=(16, 16),
        metavar="RxC",
        help="block shape (default: 16x16)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ROWS,
        metavar="ROW",
        help=f"rows to make (default: all): {', '.join(ROWS)}",
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    add_output(parser, "char_ablation", "models and the table")
    options = parser.parse_args(arguments)
    if options.units is None:
        options.units = 64 if options.quick else 512
    return options


def recipe_of(row, options, seed, characters):
    """The `Recipe` of a row for one seed; `characters`: how many different ones the text has."""
    changes = dict(ROWS[row])
    if "start" in changes:
        changes["start"] = recipe_of(changes["start"], options, seed, characters).name()
    if changes.get("units") == AS_MANY:
        changes["units"] = small_units(characters, options.units, options.cell, options.sparsity)
    label = "" if row in ("dense", "best") else row.replace(",", "").replace(" ", "-")
    common = Recipe(
        cell=options.cell,
        units=options.units,
        sparsity=options.sparsity,
        block_shape=options.block,
        label=label,
        seed=seed,
    )
    if changes.get("sparsity") == 0:
        changes["block_shape"] = Recipe.block_shape  # one dense model serves all block shapes
    if options.quick:
        # So short a training forgets nothing, and cannot tell which kernel matters more.
        changes.update(steps=120, dropout=0.0, scope="gate")
    return dataclasses.replace(common, **changes)


def made(options, text):
    """Trains what is missing: `{row: [Trained, one for each seed]}`. A row that others start from
    comes before them.
    """
    rows = [row for row in ROWS if row in (options.only or ROWS)]
    results = {row: [] for row in rows}

    def one(row, seed):
        return trained(
            recipe_of(row, options, seed, len(text.characters)), text, options.output, console
        )

    for seed in range(1, options.seeds + 1):
        for row in rows:
            if "start" in ROWS[row]:
                one(ROWS[row]["start"], seed)
            results[row].append(one(row, seed))
    return results


def table(results, options):
    """Bits of each row, against the dense model of the same seeds where there is one, and what the
    row changes.
    """
    shape = f"{options.block[0]} x {options.block[1]}"
    result = Table(
        title=f"{options.cell.upper()}-{options.units}, {100 * options.sparsity:g} % in {shape}, "
        f"seeds: {options.seeds}"
    )
    for title in ("", "bits per character", "against dense", "parameters", "minutes"):
        result.add_column(title, justify="left" if not title else "right")
    result.add_column("what it changes")
    dense = [one.bits for one in results.get("dense", ())]
    for row, runs in results.items():
        bits = [one.bits for one in runs]
        against = (
            f"{100 * (statistics.mean(bits) / statistics.mean(dense) - 1):+.1f} %"
            if dense and row != "dense"
            else ""
        )
        minutes = statistics.mean(one.seconds for one in runs) / 60
        changes = ", ".join(f"{name}={value}" for name, value in ROWS[row].items())
        result.add_row(
            row, spread(bits), against, f"{runs[0].parameters:,}", f"{minutes:.1f}", changes
        )
    return result


def write(results, options):
    """Writes every figure to `ablation.json`, beside those of other block shapes."""
    path = options.output / "ablation.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    figures = ("bits", "parameters", "sparsity", "seconds")
    for row, runs in results.items():
        for one in runs:
            known[one.recipe.name()] = {
                "recipe": dataclasses.asdict(one.recipe),
                **{name: getattr(one, name) for name in figures},
            }
    write_json(path, known)
    console.print(f"Figures: {path}")


def main(arguments=None):
    """Trains, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        ksr.patterns.check_sparsity(options.sparsity, "--sparsity")
        ksr.patterns.check_block_fits(
            options.block, (options.units, options.units), "the recurrent kernel"
        )
        if options.seeds < 1:
            raise ValueError(f"`--seeds` must be at least 1. Received: {options.seeds}")
        text = Text(options.text)
        options.output.mkdir(parents=True, exist_ok=True)
        results = made(options, text)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(table(results, options))
    write(results, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
