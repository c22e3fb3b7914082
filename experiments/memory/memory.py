"""Two tasks that a network cannot do without its recurrence: nested brackets between letters, and
symbols that are to be said again after a delay.

    python -m experiments.memory.memory --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.memory.memory --seeds 3
        both tasks, LSTM and GRU: dense, pruned, sparse from the start, without a recurrent kernel
    python -m experiments.memory.memory --seeds 3 --trials
        beside them, on brackets, one seed of twice the units, and what the recipe might do else

Every row has as many steps, and the learning rate that served it best on the validation part with
seed 0, which no table has. The figures of each training are kept in --output, so a run that was
stopped goes on where it was. Written to `memory.json`."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf

from experiments.common.arguments import add_output, quick_parser
from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.common.learning_rates import climb
from experiments.common.search import best_of
from experiments.memory.memory_brackets import Brackets
from experiments.memory.memory_copying import Copying
from experiments.memory.memory_network import small_units
from experiments.memory.memory_recipe import Recipe
from experiments.memory.memory_tables import gates_table, table
from experiments.memory.memory_training import trained

TASKS = {"brackets": Brackets(), "copying": Copying()}
QUICK = {"brackets": Brackets(length=12), "copying": Copying(count=2, longest=3)}
DENSE, SMALL = "dense", "dense, as many parameters"
PRUNED, FINE = "pruned, 16 x 16", "pruned, 1 x 16"
BY_GATE = "pruned, 16 x 16, each gate by itself"  # as a GRU is anyway
# What a row's recipe differs in from `Recipe()`, with the rate that the search begins with.
ROWS = {
    DENSE: {"learning_rate": 16e-3},
    SMALL: {"learning_rate": 32e-3},
    PRUNED: {"kind": "pruned", "learning_rate": 32e-3},
    FINE: {"kind": "pruned", "learning_rate": 32e-3, "block_shape": (1, 16)},
    "pruned, single weights": {"kind": "pruned", "learning_rate": 32e-3, "block_shape": (1, 1)},
    BY_GATE: {"kind": "pruned", "learning_rate": 32e-3, "scope": "gate"},
    "evolution, 16 x 16": {"kind": "evolution", "learning_rate": 32e-3},
    "fixed random blocks, 16 x 16": {"kind": "fixed", "learning_rate": 32e-3},
    "no recurrent kernel": {"kind": "unconnected", "learning_rate": 32e-3},
}
LARGER = SMALL, PRUNED
LEVERS = {
    "- all blocks of the diagonal kept": {"keep_diagonal": True},
    "- without a dense start": {"start_rate": 0.0},
}
# What the recipe does not do: it compares the gates of an LSTM, and not those of a GRU.
OTHER_SCOPE = {
    "lstm": {"- each gate by itself": {"scope": "gate"}},
    "gru": {"- gates compared": {"scope": "model"}},
}


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "small networks and few steps")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    for name, choices in (("tasks", TASKS), ("cells", ("lstm", "gru")), ("rows", ROWS)):
        given = {"choices": list(choices), "default": list(choices), "metavar": name[:-1].upper()}
        parser.add_argument(f"--{name}", nargs="+", help=f"some of: {', '.join(choices)}", **given)
    parser.add_argument("--trials", action="store_true", help="on brackets, twice the units")
    parser.add_argument("--units", type=int, help="of the recurrent layer (default: 128)")
    parser.add_argument("--steps", type=int, help="of each training (default: 1500)")
    add_output(parser, "memory", "the figures")
    options = parser.parse_args(arguments)
    options.units = options.units or (32 if options.quick else Recipe.units)
    options.steps = options.steps or (40 if options.quick else Recipe.steps)
    return options


def recipe_of(row, task, cell, units, steps):
    """The recipe of a row, with the rate that the search begins with."""
    recipe = Recipe(cell=cell, units=units, steps=steps, **ROWS[row])
    if row == SMALL:
        units = small_units(task, cell, units, recipe.sparsity)
    return dataclasses.replace(recipe, units=units)


class Runs:
    """Everything that is trained for one task and one cell.

    Args:
        task: `Brackets` or `Copying`.
        cell: `"lstm"` or `"gru"`.
        options: the command line.
        console: `rich.console.Console`.
    """

    def __init__(self, task, cell, options, console):
        self.task, self.cell, self.options, self.console = task, cell, options, console
        self.rates = {}
        self.dense_rate = self._rate(DENSE)

    def rows(self):
        """dict of rows to `(recipe, list of figures)`, one for each seed."""
        found = {}
        for row in self.options.rows:
            if row == BY_GATE and self.cell == "gru":
                continue
            recipe = self._recipe(row)
            seeds = range(1, self.options.seeds + 1)
            found[row] = recipe, [self._figures(row, recipe, seed=seed) for seed in seeds]
        return found

    def trials(self):
        """The same with twice the units, one seed, and the rates of the narrower networks."""
        twice = {row: self._recipe(row, 2 * self.options.units) for row in LARGER}
        levers = OTHER_SCOPE[self.cell] | LEVERS
        twice |= {name: dataclasses.replace(twice[PRUNED], **one) for name, one in levers.items()}
        return {row: (recipe, [self._figures(row, recipe)]) for row, recipe in twice.items()}

    def _recipe(self, row, units=None):
        recipe = self._begun(row, units)
        return dataclasses.replace(recipe, learning_rate=self._rate(row))

    def _begun(self, row, units=None):
        units = units or self.options.units
        recipe = recipe_of(row, self.task, self.cell, units, self.options.steps)
        pruned = recipe.kind == "pruned"
        return dataclasses.replace(recipe, start_rate=self.dense_rate) if pruned else recipe

    def _rate(self, row):
        """The rate that serves a row best on the validation part with seed 0."""
        recipe = self._begun(row)
        if self.options.quick:
            return recipe.learning_rate
        if row not in self.rates:

            def error(rate):
                figures = self._figures(row, recipe, learning_rate=rate, seed=0)
                return figures["validation"]["bits"]

            self.rates[row] = climb(error, recipe.learning_rate)
        return best_of(self.rates[row])

    def _figures(self, row, recipe, **changes):
        changed = dataclasses.replace(recipe, **changes)
        return trained(row, changed, self.task, self.options.output, self.console)


def main(arguments=None):
    """Trains what is missing, prints and writes; returns the exit status."""
    options = parse(arguments)
    console = console_of(180)
    if min(options.units, options.steps, options.seeds) < 1 or options.units % 16:
        console.print(
            "[red]error:[/red] `--steps` and `--seeds` must be at least 1, `--units` a multiple of "
            f"16. Received: --steps={options.steps}, --seeds={options.seeds}, "
            f"--units={options.units}",
            highlight=False,
        )
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    tables = []
    for task in (QUICK if options.quick else TASKS).values():
        for cell in options.cells if task.name in options.tasks else ():
            runs = Runs(task, cell, options, console)
            tables.append(shown(task, cell, runs.rows(), console, runs.rates))
            if options.trials and isinstance(task, Brackets):
                tables.append(shown(task, cell, runs.trials(), console))
    path = options.output / "memory.json"
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    write_json(path, {"versions": versions, "tables": tables})
    console.print(f"Figures: {path}")
    return 0


def shown(task, cell, runs, console, rates=None):
    """Prints the tables of one task and cell, and gives their figures as JSON takes them."""
    units = max(recipe.units for recipe, _ in runs.values())
    title = f"{task.name}, {cell.upper()}-{units}"
    console.print(table(title, task, runs))
    console.print(gates_table(title, runs))
    return {
        "task": {"name": task.name, **dataclasses.asdict(task)},
        "cell": cell,
        "rates": {
            row: {f"{rate:g}": value for rate, value in tried.items()}
            for row, tried in (rates or {}).items()
        },
        "rows": {
            row: {"recipe": dataclasses.asdict(recipe), "seeds": figures}
            for row, (recipe, figures) in runs.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
