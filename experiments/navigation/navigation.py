"""Path integration: a recurrent network is told where it starts and how fast it moves, and says, as
place cells do, where it is.

    python -m experiments.navigation.navigation --quick
        to see it work; its errors mean nothing
    python -m experiments.navigation.navigation
        seven regularisers and none, pruned to 90 and 98 %, and trained again; five seeds
    python -m experiments.navigation.navigation --blocks
        blocks of 16 x 16: do neurons that are ordered along a manifold make better ones?
    python -m experiments.navigation.navigation --tune
        each regulariser at several strengths, on a seed that the tables do not have
    python -m experiments.navigation.navigation --blocks --tune
        the same for blocks

The task, the regularisers and the pruning of the moduli paper (Mackey et al. 2024, arXiv
2406.06290), scaled to two cores. Finished networks are kept in --output and not trained again, so a
run that was stopped goes on where it was; the seeds are the outer loop, so what is there is
comparable at any time. docs/navigation.md says what came out."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.markup import escape

from experiments.common.arguments import add_output, quick_parser
from experiments.navigation.navigation_network import Recipe
from experiments.navigation.navigation_plots import draw
from experiments.navigation.navigation_regularizers import NAMES
from experiments.navigation.navigation_tables import (
    console,
    landmarks,
    results_path,
    table,
    write_results,
)
from experiments.navigation.navigation_training import trained
from experiments.navigation.navigation_world import World

QUICK_WORLD = World(side=0.8, steps=8, cells=64)
QUICK_RECIPE = Recipe(units=32, steps=40, batch=16, masks=4)
# What --tune tries, and what it found.
TRIED = (0.1, 0.3, 0.03, 1.0)
TRIED_BLOCKS = (0.001, 0.003, 0.01, 0.03, 0.1)
TRIED_LASSO = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
STRENGTHS = {"torus": 0.3, "klein": 0.3, "permuted": 0.3, "circle": 0.3}
# What --blocks compares: the title of each row and how it differs from plain block pruning. Those
# that start trained follow the recipe of the package; those a priori are not pruned but sparse from
# the start.
TORUS = {"regularizer": "torus", "strength": 0.001}  # what --blocks --tune found
LASSO = 1e-5  # that of the text; --blocks --tune finds none that helps
ORDERED = {**TORUS, "placement": "lattice"}
BLOCKS = {
    "moduli, neurons in order": ORDERED,
    "moduli, neurons at random": TORUS,
    "no regulariser": {},
    "moduli, R shuffled": {**TORUS, "regularizer": "permuted"},
    "L1": {**TORUS, "regularizer": "l1"},
    "no regulariser, single weights": {"block_shape": (1, 1)},
    "recipe": {"start": "trained"},
    "recipe with a lasso": {"start": "trained", "lasso": LASSO},
    "recipe by magnitude": {"start": "trained", "criterion": "l2"},
    "recipe, single weights": {"start": "trained", "block_shape": (1, 1)},
    "a priori, by the order": {**ORDERED, "start": "a priori"},
    "a priori, by the order, no penalty": {**ORDERED, "start": "a priori", "strength": 0.0},
    "a priori, at random, no penalty": {
        **ORDERED,
        "regularizer": "permuted",
        "start": "a priori",
        "strength": 0.0,
    },
}


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small network, few steps, one seed")
    parser.add_argument(
        "--blocks",
        action="store_true",
        help="the second table: blocks of 16 x 16 of the recurrent layer",
    )
    parser.add_argument(
        "--tune", action="store_true", help="what strengths to take for either table, on seed 0"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=NAMES,
        metavar="NAME",
        help=f"these regularisers, of: {', '.join(NAMES)} (default: all)",
    )
    parser.add_argument("--seeds", type=int, help="how many seeds (default: 5, with --quick 1)")
    add_output(parser, "navigation", "networks, results and pictures")
    options = parser.parse_args(arguments)
    if options.seeds is None:
        options.seeds = 1 if options.quick or options.tune else 5
    return options


def check(options):
    """Raises a `ValueError` for what would fail only after minutes of training."""
    if options.seeds < 1:
        raise ValueError(f"`--seeds` must be at least 1. Received: {options.seeds}")
    if options.blocks and options.only:
        raise ValueError("`--only` is about the first table and does not go with `--blocks`")
    if options.tune and options.seeds != 1:
        raise ValueError(f"`--tune` has one seed, 0. Received: `--seeds {options.seeds}`")
    if options.output.exists() and not options.output.is_dir():
        raise ValueError(
            f"`--output` must be a folder. Received: {options.output}, which is a file"
        )


def plan(options, seed):
    """The networks of one seed: dict of `(row, column)` to `Recipe`, in the order in which they are
    trained.
    """
    common = dataclasses.replace(QUICK_RECIPE if options.quick else Recipe(), seed=seed)
    recipes = {("dense", "error"): common}
    if options.tune and not options.blocks:
        for strength in TRIED:
            for row in options.only or [name for name in NAMES if name != "none"]:
                recipes[row, f"strength {strength:g}"] = dataclasses.replace(
                    common, regularizer=row, strength=strength, sparsity=0.9
                )
        return recipes
    if options.blocks:
        # Pruned by the middle of the training: whoever wants blocks trains on.
        pruned = dataclasses.replace(
            common,
            ramp=(0.0, 0.5),
            pruned="recurrent",
            block_shape=(4, 4) if options.quick else (16, 16),
        )
        if options.tune:
            pruned = dataclasses.replace(pruned, sparsity=0.9 if options.quick else 0.95)
            recipes["no regulariser", "strength 0"] = pruned
            for strength in TRIED_BLOCKS:
                for row in ("moduli, neurons in order", "moduli, neurons at random"):
                    recipes[row, f"strength {strength:g}"] = dataclasses.replace(
                        pruned, **{**BLOCKS[row], "strength": strength}
                    )
            for lasso in TRIED_LASSO:
                recipes["recipe with a lasso", f"strength {lasso:g}"] = dataclasses.replace(
                    pruned, start="trained", lasso=lasso
                )
            return recipes
        recipes["dense, trained on", "error"] = dataclasses.replace(common, start="trained")
        for sparsity in (0.9,) if options.quick else (0.95, 0.9):
            for row, changes in BLOCKS.items():
                recipe = dataclasses.replace(pruned, sparsity=sparsity, **changes)
                if recipe.start != "a priori":
                    recipes[row, f"{100 * sparsity:g} %, pruned"] = recipe
                if recipe.start == "dense":
                    recipe = dataclasses.replace(recipe, start="again")
                if recipe.start != "trained":
                    recipes[row, f"{100 * sparsity:g} %, a mask from the start"] = recipe
        return recipes
    columns = {
        "90 %": {"sparsity": 0.9},
        "90 %, trained again": {"sparsity": 0.9, "start": "again"},
        "90 %, trained again without it": {"sparsity": 0.9, "start": "again, free"},
        "98 %": {"sparsity": 0.98},
    }
    if options.quick:
        del columns["98 %"]
    for column, changes in columns.items():
        for row in options.only or (("torus", "none") if options.quick else NAMES):
            if row == "none" and changes.get("start") == "again, free":
                continue
            strength = STRENGTHS.get(row, Recipe.strength)
            recipes[row, column] = dataclasses.replace(
                common, regularizer=row, strength=strength, **changes
            )
    return recipes


def main(arguments=None):
    """Trains, prints and draws; returns the exit status."""
    options = parse(arguments)
    world = QUICK_WORLD if options.quick else World()
    try:
        check(options)
        options.output.mkdir(parents=True, exist_ok=True)
        introduce(world, plan(options, 1), options)
        runs = {}
        for seed in [0] if options.tune else range(1, options.seeds + 1):
            for place, recipe in plan(options, seed).items():
                runs.setdefault(place, []).append(trained(recipe, world, options.output, console))
                write_results(options, world, runs)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(table(runs))
    pictures = (
        []
        if options.blocks or options.tune
        else draw({place: values[0] for place, values in runs.items()}, options.output)
    )
    console.print(
        f"Results and pictures: {', '.join(map(str, [results_path(options), *pictures]))}"
    )
    return 0


def introduce(world, recipes, options):
    """Says what is about to happen, and what errors to compare with."""
    marks = landmarks(world)
    console.print(
        f"A box of {world.side:g} m, {world.cells} place cells, {world.steps} steps of "
        f"{1000 * world.interval:g} ms. Errors to compare with: {marks['cells']:.1f} cm, the "
        f"activity of the cells themselves decoded; {marks['start']:.1f} cm, staying where one "
        f"began; {marks['centre']:.1f} cm, always the centre.\nNow, for {options.seeds} "
        f"seed{'s' * (options.seeds > 1)}: train {len(recipes)} networks of "
        f"{next(iter(recipes.values())).units} units.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
