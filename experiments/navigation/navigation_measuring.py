"""The figures of a network, each in a file of its own, and the search for a penalty's strength."""

import dataclasses
import functools
import math

import keras
import numpy as np
import tensorflow as tf

from experiments.common.files import figures_of, keep_figures
from experiments.navigation.navigation_network import build, kernels
from experiments.navigation.navigation_training import (
    cross_entropy,
    decoding_error,
    live_weights,
    train,
)
from experiments.navigation.navigation_world import TEST_WALKS, PlaceCells, walks

# Walks that neither a training nor the tables of `navigation` have.
PARTS = {"validation": 10**6 + 1, "test": 10**6 + 2}


class Enough(Exception):
    """As many networks have been trained as one run is to train."""


class Records:
    """Figures that are made once and kept, each in a file.

    Args:
        folder: `pathlib.Path` of the files.
        most: how many may be made before `Enough` is raised; None: as many as are asked for.
    """

    def __init__(self, folder, most=None):
        self.folder, self.left = folder, math.inf if most is None else most

    def take(self, name, asked, make):
        """The figures of that name, a dict.

        Args:
            name: of the file, without its suffix.
            asked: all that they depend on, as JSON takes it. Figures that were asked for otherwise
                are made again.
            make: function of nothing that makes them.

        Raises:
            Enough: they are not there, and there are to be no more.
        """
        path = self.folder / f"{name}.json"
        known = figures_of(path, asked)
        if known is None:
            if self.left <= 0:
                raise Enough
            self.left -= 1
            known = make()
            keep_figures(path, asked, known)
        return known


def measured(recipe, world, records, console):
    """Trains a network, or takes the figures of an earlier run.

    Args:
        recipe: `Recipe` of a network that starts dense.
        world: `World`.
        records: `Records`.
        console: `rich.console.Console`.

    Returns:
        dict: of each of `PARTS` the decoding error in centimetres; `"live"`, weights that are not
        zero; `"seconds"` of training; of a network that stays dense also `"gradient"`,
        `gradient_size` before and after training.
    """

    def make():
        model, seconds, _ = train(recipe, world, console)
        cells = PlaceCells(world, recipe.seed)
        known = {part: decoding_error(model, cells, _held_out(world, part))[0] for part in PARTS}
        known |= {"live": live_weights(model), "seconds": round(seconds, 1)}
        if not recipe.sparsity:
            keras.utils.set_random_seed(recipe.seed)
            new = build(recipe, world, cells)
            known["gradient"] = [_gradient_size(one, recipe, cells) for one in (new, model)]
        return known

    asked = {"recipe": dataclasses.asdict(recipe), "world": dataclasses.asdict(world)}
    return records.take(f"{recipe.units}-units-{recipe.steps}-steps-{recipe.name()}", asked, make)


@functools.lru_cache(maxsize=len(PARTS))
def _held_out(world, part):
    return walks(world, TEST_WALKS, PARTS[part])


def _gradient_size(model, recipe, cells):
    loss = cross_entropy(cells)

    def of_batch(number):
        data = walks(cells.world, recipe.batch, [recipe.seed, 2, number])
        return loss(data.position, model([data.velocity, data.start]))

    return gradient_size(kernels(model)["recurrent"], of_batch)


def gradient_size(kernel, loss, batches=4):
    """The root mean square of the gradient of a loss by a weight of a kernel, over weights and
    batches: what a penalty's gradient is to be compared with.

    Args:
        kernel: `keras.Variable`.
        loss: function of the number of a batch.
        batches: how many.
    """
    squares = []
    for number in range(batches):
        with tf.GradientTape() as tape:
            value = loss(number)
        squares.append(np.square(tape.gradient(value, kernel.value)).mean())
    return float(np.sqrt(np.mean(squares)))


def vertex(errors):
    """Where the parabola through the least of some errors and its neighbours is least, in
    logarithms of both; None if one of the neighbours is missing.

    Args:
        errors: dict of rising positive values to errors.
    """
    values = list(errors)
    best = values.index(min(errors, key=errors.get))
    if not 0 < best < len(values) - 1:
        return None
    near = values[best - 1 : best + 2]
    two, one, _ = np.polyfit(np.log(near), np.log([errors[value] for value in near]), 2)
    return float(np.exp(-one / (2 * two)))
