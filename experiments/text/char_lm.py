"""A character language model: trained dense, pruned in blocks while it trains on, swapped for
block-sparse layers, written for LiteRT.

    python -m experiments.text.char_lm --quick
        one minute, to see it work; its accuracy means nothing
    python -m experiments.text.char_lm
        LSTM-512 at 90 %, one seed
    python -m experiments.text.char_lm --seeds 3
        the table with mean and spread
    python -m experiments.text.char_lm --sweep --seeds 3
        block shapes, sparsities, group lasso, LSTM-256 and GRU-256: a second table, and a picture
    python -m experiments.text.char_lm --sweep --tune
        learning rates for each kind of network of the second table

The text is Python's own help, or your own with --text FILE. Finished models are kept in --output
and not trained again, so a run that was stopped goes on where it was."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.markup import escape

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, add_text, block_shape, quick_parser
from experiments.text.char_measure import (
    STEPS,
    largest_difference,
    microseconds_per_step,
)
from experiments.text.char_network import CELLS, equal_units, recurrent
from experiments.text.char_recipe import Recipe
from experiments.text.char_sweep import run as sweep
from experiments.text.char_sweep import tune_rates
from experiments.text.char_tables import console, draw, table, write_results
from experiments.text.char_text import Text
from experiments.text.char_training import trained

LASSO = 1e-5
# char_ablation.py: twice the rate serves a pruned model better; a dense one, large or small, it
# serves no better
PRUNED_RATE = 16e-3


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    parser.add_argument("--sweep", action="store_true", help="the second table instead")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="with --sweep: the learning rates of its networks instead, seed 0",
    )
    parser.add_argument(
        "--cells",
        nargs="+",
        choices=list(CELLS),
        default=list(CELLS),
        help="of the second table (default: lstm gru)",
    )
    add_text(parser)
    parser.add_argument("--units", type=int, help="of the LSTM (default: 512, with --quick 128)")
    parser.add_argument(
        "--sparsity",
        type=float,
        default=0.9,
        help="fraction of the LSTM's weights to prune (default: 0.9)",
    )
    parser.add_argument(
        "--blocks",
        nargs="+",
        type=block_shape,
        default=[(16, 16), (1, 16)],
        metavar="RxC",
        help="block shapes (default: 16x16 1x16)",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    add_output(parser, "char_lm", "models and pictures")
    options = parser.parse_args(arguments)
    if options.units is None:
        options.units = 128 if options.quick else 512
    return options


def check(options):
    """Raises a `ValueError` for what would fail only after minutes of training."""
    ksr.patterns.check_sparsity(options.sparsity, "--sparsity")
    if options.tune and not options.sweep:
        raise ValueError("`--tune` finds the rates of the second table: give it with `--sweep`")
    for name in ("units", "seeds"):
        if getattr(options, name) < 1:
            raise ValueError(f"`--{name}` must be at least 1. Received: {getattr(options, name)}")
    for block in options.blocks:
        ksr.patterns.check_block_shape(block, "--blocks")
        ksr.patterns.check_block_fits(block, (options.units, options.units), "the recurrent kernel")


def recipes(options, seed):
    """The dense recipe, that of the dense model of equal parameter count (but for its units), and
    one for each block shape.

    A pruned model starts from the dense one, with a group lasso, as `ksr.recipes.PruneTrained` has
    it, and twice the learning rate; so the small one is trained for as many steps as both together.
    The fewer weights, the less dropout: what served each best in a few trial runs, and the small
    one in the search of `char_rivals`, which is also where its rate and steps are from.
    """
    common = Recipe(seed=seed, units=options.units)
    dropouts = (0.5, 0.1, 0.2)
    if options.quick:
        # So short a training forgets nothing, and cannot tell which kernel matters more: every gate
        # gets the same sparsity.
        common, dropouts = dataclasses.replace(common, steps=300, scope="gate"), (0.0, 0.0, 0.0)
    dense, equal, pruned = (dataclasses.replace(common, dropout=dropout) for dropout in dropouts)
    equal = dataclasses.replace(equal, steps=2 * common.steps)
    pruned = dataclasses.replace(
        pruned,
        learning_rate=PRUNED_RATE,
        start=dense.name(),
        sparsity=options.sparsity,
        lasso=LASSO,
    )
    return (
        dense,
        equal,
        [dataclasses.replace(pruned, block_shape=block) for block in options.blocks],
    )


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A pruned model after substitution and export: sizes, speeds and errors."""

    difference: float
    keras_microseconds: float
    sparse_microseconds: float
    litert: object


def main(arguments=None):
    """Trains, deploys and prints; returns the exit status."""
    options = parse(arguments)
    try:
        check(options)
        text = Text(options.text)
        options.output.mkdir(parents=True, exist_ok=True)
        if options.sweep:
            (tune_rates if options.tune else sweep)(options, text, console)
            return 0
        runs = [run_seed(options, text, seed) for seed in range(1, options.seeds + 1)]
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    deployed = [deploy(pruned, text, options.output) for pruned in runs[0][2:]]
    console.print(table(runs, deployed))
    write_results(options, text, runs, deployed)
    draw(options, text, runs[0])
    return 0


def run_seed(options, text, seed):
    """Trains the models of one seed: dense, dense of equal parameter count, then one for each block
    shape.
    """
    dense_recipe, equal_recipe, pruned_recipes = recipes(options, seed)
    if seed == 1:
        console.print(
            f"Text: {text.source}, {text.length:,} characters without repeats, "
            f"{len(text.characters)} different; the last tenth is held out.\nNow, for "
            f"{options.seeds} seed{'s' * (options.seeds > 1)}: train LSTM-{dense_recipe.units} "
            f"dense, from there prune it to {100 * options.sparsity:g} % in blocks of "
            f"{' and '.join(f'{r} x {c}' for r, c in options.blocks)}, train a dense one with as "
            "few parameters. Then swap the layers, export, measure.\n"
        )
    dense = trained(dense_recipe, text, options.output, console)
    pruned = [trained(recipe, text, options.output, console) for recipe in pruned_recipes]
    units = equal_units(len(text.characters), pruned[0].parameters)
    equal = trained(dataclasses.replace(equal_recipe, units=units), text, options.output, console)
    return [dense, equal, *pruned]


def deploy(pruned, text, folder):
    """Swaps the layers of a pruned model and exports it; raises if the predictions or the file
    disagree.
    """
    model = pruned.model()
    sparse = ksr.substitute(model)
    ksr.report(sparse, console)
    speeds = microseconds_per_step({"keras": recurrent(model), "sparse": recurrent(sparse)})
    litert = ksr.export.export_litert(
        sparse, pruned.path.with_suffix(".tflite"), batch_size=1, steps=STEPS
    )
    return Deployed(
        largest_difference(model, sparse, text), speeds["keras"], speeds["sparse"], litert
    )


if __name__ == "__main__":
    sys.exit(main())
