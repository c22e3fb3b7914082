"""For which settings a penalty helps a network that is pruned: the number of steps after the last
mask, the width and the length of the training, varied one at a time.

    python -m experiments.navigation.navigation_conditions --quick
        to see it work; its errors mean nothing
    python -m experiments.navigation.navigation_conditions
        every condition; an hour of one core
    until python -m experiments.navigation.navigation_conditions --pieces 8; do :; done
        the same in processes of some minutes

Networks as in `navigation`, pruned to 90 % in single weights in the paper's protocol: with the
torus, with the torus's R shuffled, with an L1 penalty, and without a penalty. In every condition
the strength of each penalty is searched for on walks for validation, with seed 0: the best has a
worse one a factor of 1.8 away on either side. Errors are those of other walks, with seeds 1 to 3.
The figures of each network are kept in a file of its own in --output, so a run that was stopped
goes on where it was; all together are written to `navigation_conditions.json`. Without these,
--known takes over the conditions that such a file has."""

import dataclasses
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, quick_parser
from experiments.common.files import write_json
from experiments.common.search import best_of, descend
from experiments.navigation.navigation import QUICK_RECIPE, QUICK_WORLD
from experiments.navigation.navigation_conditions_tables import error_table, strength_table
from experiments.navigation.navigation_measuring import Enough, Records, measured
from experiments.navigation.navigation_network import Recipe
from experiments.navigation.navigation_tables import console
from experiments.navigation.navigation_world import World

COARSE = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FINE = (0.0018, 0.0055, 0.018, 0.055, 0.18, 0.55, 1.8)
GRID = tuple(sorted(COARSE + FINE))
# Where the search for the torus begins, by units.
BEGIN = {128: 0.03, 256: 0.03}
PENALTIES = ("torus", "permuted", "l1")
ROWS = (*PENALTIES, "none")
STARTED_AT = 0.1  # in a quick run
MORE = 3  # exit status: not everything is trained yet


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is varied.

    Attributes:
        units: of the recurrent layer.
        steps: batches in all.
        until: the fraction of the steps after which the last mask is taken.
    """

    units: int = 256
    steps: int = 1000
    until: float = Recipe.ramp[1]

    def recipe(self, common, **changes):
        """`common`, a `Recipe`, in this condition."""
        return dataclasses.replace(common, units=self.units, steps=self.steps, **changes)

    @property
    def after(self):
        """How many steps follow the last mask."""
        return self.steps - int(self.until * self.steps)


CONDITIONS = (
    Condition(),
    Condition(until=0.8),
    Condition(until=0.5),
    Condition(until=1.0),
    Condition(units=128),
    Condition(steps=3000),
)
QUICK_CONDITIONS = tuple(
    Condition(units, QUICK_RECIPE.steps, until) for units, until in ((32, 0.967), (16, 0.5))
)


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "small networks, few steps, two conditions, one seed")
    parser.add_argument("--seeds", type=int, help="how many seeds (default: 3, with --quick 1)")
    parser.add_argument(
        "--pieces",
        type=int,
        metavar="N",
        help="train N networks and stop, with exit status 3 if there are more to train",
    )
    parser.add_argument(
        "--known",
        type=pathlib.Path,
        metavar="FILE",
        help="figures of an earlier run (navigation_conditions.json)",
    )
    add_output(parser, "navigation_conditions", "the figures")
    options = parser.parse_args(arguments)
    if options.seeds is None:
        options.seeds = 1 if options.quick else 3
    for name in ("seeds", "pieces"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"`--{name}` must be at least 1. Received: {value}")
    return options


def known_conditions(options, setting):
    """The finished conditions of `--known`, by units, steps and steps after the last mask; raises
    a `ValueError` if its world or its recipe are others than those of `setting`.
    """
    if options.known is None:
        return {}
    found, known = json.loads(options.known.read_text()), {}
    if {name: found[name] for name in setting} != json.loads(json.dumps(setting)):
        raise ValueError(f"`--known` must have this world and recipe. Received: {options.known}")
    for result in found["conditions"]:
        if {run["seed"] for run in result.get("runs", [])} == set(range(1, options.seeds + 1)):
            result["tried"] = {
                row: {float(strength): error for strength, error in errors.items()}
                for row, errors in result["tried"].items()
            }
            known[result["units"], result["steps"], result["after"]] = result
    return known


def in_condition(condition, common, grid, begin, seeds, error_of, result):
    """Searches the strengths of one condition, then trains with them on other seeds.

    Args:
        condition: `Condition`.
        common: `Recipe` that it varies.
        grid: strengths to try.
        begin: the one to begin with.
        seeds: how many seeds, from 1 on.
        error_of: function of a recipe, the dict of `navigation_measuring.measured`.
        result: dict that is filled as networks are finished.
    """
    pruned = {"sparsity": 0.9, "ramp": (0.0, condition.until)}
    result |= {"units": condition.units, "steps": condition.steps, "after": condition.after}
    result |= {"tried": {}, "strengths": {}, "runs": []}
    result["gradient"] = error_of(condition.recipe(common, seed=0))["gradient"]
    for row in PENALTIES:

        def error(strength, row=row):
            changes = {"regularizer": row, "strength": strength}
            return error_of(condition.recipe(common, seed=0, **changes, **pruned))["validation"]

        if row == "torus":
            errors = descend(error, grid, begin)
        else:  # both pull as hard in all, so their best may be near that of the torus
            errors = descend(error, grid, result["strengths"]["torus"], strides=(1,))
        if row == "l1":  # its errors can have two minima
            errors = dict(sorted((errors | descend(error, grid, begin)).items()))
        result["tried"][row] = errors
        result["strengths"][row] = best_of(errors)
    result["strengths"]["none"] = 0.0
    for seed in range(1, seeds + 1):
        recipes = {"dense": condition.recipe(common, seed=seed)}
        for row in ROWS:
            of_row = {} if row == "none" else {"strength": result["strengths"][row]}
            recipes[row] = condition.recipe(common, seed=seed, regularizer=row, **of_row, **pruned)
        for row, recipe in recipes.items():
            figures = error_of(recipe)
            result["runs"].append({"row": row, "seed": seed, **figures})


def main(arguments=None):
    """Trains and prints; returns the exit status."""
    options = parse(arguments)
    world = QUICK_WORLD if options.quick else World()
    common = QUICK_RECIPE if options.quick else Recipe()
    conditions = QUICK_CONDITIONS if options.quick else CONDITIONS
    grid = (0.03, 0.1, 0.3) if options.quick else GRID
    setting = {"world": dataclasses.asdict(world), "recipe": dataclasses.asdict(common)}
    results, status = [], 0
    try:
        known = known_conditions(options, setting)
        options.output.mkdir(parents=True, exist_ok=True)
        records = Records(options.output, options.pieces)
        for condition in conditions:
            key = condition.units, condition.steps, condition.after
            results.append(known.get(key, {}))
            if results[-1]:
                continue
            in_condition(
                condition,
                common,
                grid,
                BEGIN.get(condition.units, STARTED_AT),
                options.seeds,
                lambda recipe: measured(recipe, world, records, console),
                results[-1],
            )
    except Enough:
        status = MORE
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    path = options.output / "navigation_conditions.json"
    versions = {one.__name__: one.__version__ for one in (tf, keras, np)}
    write_json(path, {**setting, "versions": versions, "conditions": results})
    console.print(strength_table(results))
    console.print(error_table(results))
    console.print(f"Results: {path}" + (", more to train" if status else ""))
    return status


if __name__ == "__main__":
    sys.exit(main())
