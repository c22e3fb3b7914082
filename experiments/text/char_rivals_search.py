"""The kinds of networks that are compared, and the search for how each is trained best."""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading

from rich.console import Console

from experiments.common.search import coordinates
from experiments.text.char_network import equal_sparsity, small_units, total
from experiments.text.char_recipe import Recipe
from experiments.text.char_text import Text
from experiments.text.char_training import record, trained

LADDERS = {
    "learning_rate": (2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3),
    "dropout": (0.0, 0.1, 0.2, 0.35, 0.5, 0.65),
    "steps": (1250, 2500, 5000, 10000, 20000),
}
PRUNED = "pruned, 16 x 16"
SMALL = "small, dense"


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of network.

    Args:
        recipe: `Recipe` that its search begins with; what is not searched stays.
        searched: names of `LADDERS`, in the order in which they are searched.
        most_steps: the search goes no further up.
        as_found_for: the name of the kind whose settings are taken over before the search.
    """

    recipe: Recipe
    searched: tuple = ()
    most_steps: int = 0
    as_found_for: str = ""


def kinds_of(characters, quick=False, steps=None):
    """All kinds by their names, for a text of so many different characters; `steps`: of each, where
    they are not searched (default: 5,000, if `quick` 40).
    """
    units, sparsity = (64, 0.5) if quick else (512, 0.9)
    steps = steps or (40 if quick else 5000)
    ladders = ("learning_rate", "dropout")
    begin = Recipe(units=units, steps=steps, dropout=0.1, seed=0)
    pruned = dataclasses.replace(begin, sparsity=sparsity, lasso=1e-5, learning_rate=16e-3)
    if quick:  # so short a training cannot tell which kernel matters more
        pruned = dataclasses.replace(pruned, scope="gate")
    parameters = total(characters, units, sparsity=sparsity)
    small = small_units(characters, units, sparsity=sparsity)
    wide = dataclasses.replace(
        pruned, units=2 * units, sparsity=equal_sparsity(characters, 2 * units, parameters)
    )
    return {
        SMALL: Kind(dataclasses.replace(begin, units=small), ladders),
        "small, dense, its steps searched, too": Kind(
            dataclasses.replace(begin, units=small),
            ("steps", *ladders[::-1]),
            2 * steps,
            as_found_for=SMALL,
        ),
        PRUNED: Kind(pruned, ladders),
        "pruned, 1 x 16": Kind(
            dataclasses.replace(pruned, block_shape=(1, 16)), as_found_for=PRUNED
        ),
        "narrow, by units": Kind(
            dataclasses.replace(begin, units_left=small, learning_rate=16e-3),
            ("learning_rate",),
        ),
        "wide, pruned further": Kind(wide, ("learning_rate",), as_found_for=PRUNED),
        "dense, half the units": Kind(
            dataclasses.replace(begin, units=units // 2), as_found_for=SMALL
        ),
        "dense": Kind(begin, ladders),
        "twice the units, pruned to the weights of dense": Kind(
            dataclasses.replace(
                wide, sparsity=equal_sparsity(characters, 2 * units, total(characters, units))
            ),
            ladders[:1],
            as_found_for="dense",
        ),
    }


class Trainings:
    """Trains in processes of their own, each on its share of the cores.

    Args:
        text: `Text`.
        options: of the command line: `text`, `jobs`, `output`.
        console: that says what is trained.
    """

    def __init__(self, text, options, console):
        self.text, self.options, self.console = text, options, console
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.free, self._locks = queue.Queue(), collections.defaultdict(threading.Lock)
        for job in range(options.jobs):
            self.free.put(cores[job :: options.jobs])

    def of(self, recipe):
        """What is recorded of the model of `recipe`, a dict; trains it if there is none."""
        known = lambda: record(recipe, self.text, self.options.output)
        with self._locks[recipe.name()]:  # two kinds may want the same
            if known() is None:
                cores = self.free.get()
                try:
                    self.console.print(f"training: {recipe.name()}", highlight=False)
                    self._train(recipe, cores)
                finally:
                    self.free.put(cores)
            return known()

    def _train(self, recipe, cores):
        of = [str(self.options.text or ""), str(self.options.output), json.dumps(cores)]
        command = [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(recipe)), *of]
        paths = os.pathsep.join(filter(None, sys.path))
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": paths})


class Search:
    """Finds the best settings of each kind and trains its seeds with them.

    Args:
        kinds: as of `kinds_of`.
        trainings: `Trainings`.
        seeds: how many, from 1, are trained with what was found.
        known: settings that an earlier run has tried, with their bits, as `settings` returns them,
            by the names of kinds: none of these is trained again.
    """

    def __init__(self, kinds, trainings, seeds, known=None):
        self.kinds, self.trainings, self.seeds = kinds, trainings, seeds
        self._known = {
            (name, one["label"]): one["bits"] for name, all in (known or {}).items() for one in all
        }
        self._found, self._locks = {}, {name: threading.Lock() for name in kinds}

    def run(self, names):
        """A dict of names to `(tried, recipes)`: all settings that were tried with their bits on
        the validation text, and the recipes of the seeds. All kinds at once, for they wait for each
        other; as many trainings as there are jobs.
        """
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(self._kind, names)))

    def _kind(self, name):
        best, tried = self.settings(name)
        recipes = [self._with(best, seed=seed) for seed in range(1, self.seeds + 1)]
        for recipe in recipes:
            self.trainings.of(recipe)
        return tried, recipes

    def settings(self, name):
        """`(recipe, tried)` of a kind: the best recipe of seed 0, and all that were tried."""
        with self._locks[name]:
            if name not in self._found:
                self._found[name] = self._searched(name)
            return self._found[name]

    def _searched(self, kind_name):
        kind = self.kinds[kind_name]
        best, tried = kind.recipe, []
        if kind.as_found_for:
            other, _ = self.settings(kind.as_found_for)
            best = self._with(best, **{name: getattr(other, name) for name in LADDERS})
        best = self._with(best)
        if not kind.searched:
            return best, tried
        ladders = {name: LADDERS[name] for name in kind.searched}
        if "steps" in ladders:
            ladders["steps"] = [steps for steps in LADDERS["steps"] if steps <= kind.most_steps]
        found = coordinates(
            lambda settings: self._tried(kind_name, self._with(best, **settings), tried),
            {name: getattr(best, name) for name in LADDERS},
            ladders,
        )
        return self._with(best, **found), tried

    def _tried(self, kind_name, recipe, tried):
        bits = self._known.get((kind_name, recipe.label))
        if bits is None:
            bits = self.trainings.of(recipe)["bits"]
        if all(one["label"] != recipe.label for one in tried):
            settings = {name: getattr(recipe, name) for name in LADDERS}
            tried.append({**settings, "label": recipe.label, "bits": bits})
        return bits

    @staticmethod
    def _with(recipe, **changes):
        """`recipe` with changes, and a label that tells all settings apart."""
        changed = dataclasses.replace(recipe, **changes)
        label = f"{changed.steps}x{changed.learning_rate:g}d{changed.dropout:g}"
        return dataclasses.replace(changed, label=label)


def main(arguments):
    """Trains one model: its recipe, the text, the folder, and the cores that it has."""
    recipe, text, folder, cores = arguments
    if json.loads(cores):
        os.sched_setaffinity(0, json.loads(cores))
    recipe = json.loads(recipe)
    for name in ("block_shape", "ramp"):
        recipe[name] = tuple(recipe[name])
    folder = pathlib.Path(folder)
    trained(Recipe(**recipe), Text(text or None, validation=True), folder, Console(quiet=True))


if __name__ == "__main__":
    main(sys.argv[1:])
