"""The recipe of the navigation network: its layers, its training, its pruning, its score."""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.common.files import keep, record_of
from experiments.common.progress import progress_bar
from experiments.common.untuned import untuned
from experiments.navigation.navigation_network import Recipe, build, kernels
from experiments.navigation.navigation_regularizers import regularizer
from experiments.navigation.navigation_world import (
    TEST_WALKS,
    PlaceCells,
    World,
    centimetres,
    test_walks,
    training_walks,
)

PRUNED = {
    "all": ["encoder", "rnn", "decoder"],
    "recurrent": [lambda layer: getattr(layer, "name", "") == "rnn"],
}
AGAIN = "again", "again, free"
TOGETHER = 10


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished network and what came out of its training.

    Attributes:
        recipe, world: as it was trained.
        path: of its weights.
        error: mean decoding error over all steps of the test walks, centimetres.
        last: the same, of the last step.
        live: how many weights of each kernel are not zero.
        seconds: of training.
        loss, sparsities: for every tenth step.
    """

    recipe: Recipe
    world: World
    path: pathlib.Path
    error: float
    last: float
    live: dict
    seconds: float
    loss: list
    sparsities: list

    def cells(self):
        """The place cells that it was trained with."""
        return PlaceCells(self.world, self.recipe.seed)

    def model(self):
        """The network with its trained weights, of plain Keras layers."""
        model = build(self.recipe, self.world, self.cells())
        model.load_weights(self.path)
        return model


def trained(recipe, world, folder, console):
    """Trains by `recipe`, or takes the network that an earlier run has finished.

    Args:
        recipe: `Recipe`.
        world: `World`.
        folder: where weights and records are kept.
        console: `rich.console.Console`.

    Returns:
        `Trained`.
    """
    path = folder / f"{recipe.name()}.weights.h5"
    asked = {"recipe": dataclasses.asdict(recipe), "world": dataclasses.asdict(world)}
    known = record_of(path, asked)
    if known is not None:
        return Trained(recipe, world, path, **known)
    pattern = _pattern(recipe, world, folder, console)
    weights = None
    if recipe.start == "trained":
        weights = _dense(recipe, world, folder, console).model().get_weights()
    model, seconds, curve = train(recipe, world, console, pattern, weights)
    error, last = decoding_error(model, PlaceCells(world, recipe.seed), test_walks(world))
    known = {
        "error": error,
        "last": last,
        "live": live_weights(model),
        "seconds": seconds,
        "loss": curve.loss,
        "sparsities": curve.sparsity,
    }
    keep(path, model.save_weights, asked, known)
    return Trained(recipe, world, path, **known)


def train(recipe, world, console, pattern=(), weights=None):
    """Trains one network.

    Args:
        recipe: `Recipe`.
        world: `World`.
        console: `rich.console.Console`, for the progress.
        pattern: mapping of the names of kernels to their weights that live from the start, bool.
        weights: of the whole network, to start from; None: new ones.

    Returns:
        The network, of plain Keras layers; seconds of training; the curves of loss and sparsity.
    """
    keras.utils.set_random_seed(recipe.seed + (1000 if recipe.start in AGAIN else 0))
    cells = PlaceCells(world, recipe.seed)
    model = build(recipe, world, cells)
    if weights is not None:
        model.set_weights(weights)
    for name in pattern:
        _thin(kernels(model)[name], pattern[name])
    # The same variables in layers with native kernels, which train several times faster than
    # Keras's own.
    model = ksr.substitute(model, block_shape=(16, 16), storage="masked")
    begin = time.perf_counter()
    curve = _fit(model, recipe, world, cells, console)
    return ksr.to_dense(model), time.perf_counter() - begin, curve


def live_weights(model):
    """How many weights of each kernel are not zero: dict of names to numbers."""
    return {name: int(np.count_nonzero(kernel.numpy())) for name, kernel in kernels(model).items()}


def decoding_error(model, cells, test):
    """The mean decoding error over walks that the network was not trained on, and that of their
    last step, centimetres.
    """
    decoded = cells.decode(
        model.predict([test.velocity, test.start], batch_size=TEST_WALKS, verbose=0)
    )
    return centimetres(decoded, test.position), centimetres(decoded[:, -1], test.position[:, -1])


def _pattern(recipe, world, folder, console):
    """Which weights live before the first step, for each kernel that does not start dense."""
    if recipe.start in ("dense", "trained"):
        return {}
    if recipe.start == "a priori":
        # The kernel from the inputs stays dense, and the recurrent one gets what the others have
        # left of both together.
        weights, inputs = recipe.units**2, 2 * recipe.units
        sparsity = 1 - ((1 - recipe.sparsity) * (weights + inputs) - inputs) / weights
        live = regularizer(recipe).block_mask(sparsity, recipe.block_shape, units=recipe.units)
        grid = ksr.patterns.BlockGrid(recipe.units, recipe.units, 1, recipe.block_shape)
        return {"recurrent": grid.expand(live)}
    first = trained(dataclasses.replace(recipe, start="dense"), world, folder, console)
    return {name: kernel.numpy() != 0 for name, kernel in kernels(first.model()).items()}


def _dense(recipe, world, folder, console):
    same = ("units", "steps", "batch", "learning_rate", "weight_decay", "masks", "seed")
    return trained(Recipe(**{name: getattr(recipe, name) for name in same}), world, folder, console)


def _thin(kernel, live):
    """Zeroes the weights that do not live, and scales the others so that the kernel's sum of
    squares stays what a dense one's is.
    """
    kernel.assign(np.where(live, kernel.numpy() / np.sqrt(live.mean()), 0).astype("float32"))


def cross_entropy(cells):
    """The loss: a function of positions and scores."""

    def loss(positions, scores):
        return keras.ops.mean(
            keras.ops.categorical_crossentropy(cells(positions), scores, from_logits=True)
        )

    return loss


def _fit(model, recipe, world, cells, console):
    rate = (
        ksr.recipes.warm_cosine(recipe.steps, recipe.learning_rate)
        if recipe.start == "trained"
        else recipe.learning_rate
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0)
    model.compile(optimizer, cross_entropy(cells), steps_per_execution=TOGETHER)
    curve = _Curve(recipe, console)
    data = training_walks(world, recipe.steps * recipe.batch, recipe.seed)
    batches = tf.data.Dataset.from_tensor_slices(
        ((data.velocity, data.start), data.position)
    ).batch(recipe.batch)
    model.fit(untuned(batches), shuffle=False, callbacks=[*_pruning(recipe), curve], verbose=0)
    return curve


def _pruning(recipe):
    """The callback that prunes, or that only holds the zeros that are there from the start; none if
    the network stays dense.
    """
    if not recipe.sparsity:
        return []
    if recipe.start == "trained":
        what = recipe.sparsity, recipe.block_shape, PRUNED[recipe.pruned]
        how = {"lasso": recipe.lasso, "criterion": recipe.criterion}
        return ksr.recipes.PruneTrained(recipe.steps, recipe.learning_rate, *what, **how).callbacks
    begin, end = (int(fraction * recipe.steps) for fraction in recipe.ramp)
    schedule = ksr.schedules.PolynomialDecay(0.0, recipe.sparsity, begin, end, power=1)
    if recipe.start != "dense":
        schedule = ksr.schedules.Constant(0.0, begin_step=0)
    frequency = max(1, (end - begin) // recipe.masks)
    return [
        ksr.callbacks.BlockPruning(
            schedule,
            recipe.block_shape,
            frequency=frequency,
            criterion="l2",
            scope="model",
            layers=PRUNED[recipe.pruned],
        )
    ]


class _Curve(keras.callbacks.Callback):
    """A progress bar over the steps, and loss and sparsity over them."""

    def __init__(self, recipe, console):
        super().__init__()
        self.loss, self.sparsity = [], []
        self._total = 0.0
        self.progress, self.task = progress_bar(recipe.name(), recipe.steps, console)

    def on_train_begin(self, logs=None):
        self.progress.start()

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean since the beginning of the epoch; its difference is the loss of
        # these steps.
        total = logs["loss"] * (batch + 1)
        self.loss.append(float(total - self._total) / TOGETHER)
        self.sparsity.append(float(logs.get("sparsity", 0.0)))
        self._total = total
        self.progress.update(
            self.task,
            completed=batch + 1,
            state=f"loss {self.loss[-1]:.3f}  sparsity {self.sparsity[-1]:.3f}",
        )

    def on_train_end(self, logs=None):
        self.progress.stop()
