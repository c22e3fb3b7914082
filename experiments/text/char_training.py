"""The recipe of the character language model and its training."""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.common.files import keep, record_of
from experiments.common.progress import progress_bar
from experiments.common.pruning import frequency_of, kept_in, pruning_of, schedule_of
from experiments.text.char_network import (
    bits_per_character,
    build,
    live_fraction,
    parameters,
    recurrent,
)
from experiments.text.char_recipe import Recipe
from experiments.text.char_text import windows

TEMPERATURE = 2.0


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished model and what came out of its training.

    Attributes:
        recipe: as it was trained.
        path: of the saved model, a plain Keras one.
        bits: per character of held-out text.
        parameters: that are not zero.
        sparsity: of the recurrent layer's kernels.
        seconds: of training.
        loss, sparsities: bits per character of the batch and sparsity, for each step.
    """

    recipe: Recipe
    path: pathlib.Path
    bits: float
    parameters: int
    sparsity: float
    seconds: float
    loss: list
    sparsities: list

    def model(self):
        """Loads the model."""
        return keras.models.load_model(self.path)


def trained(recipe, text, folder, console):
    """Trains by `recipe`, or takes the model that an earlier run has finished.

    Args:
        recipe: `Recipe`.
        text: `Text`.
        folder: where the model and its record are kept.
        console: `rich.console.Console`.

    Returns:
        `Trained`.
    """
    path = folder / f"{recipe.name()}.keras"
    known = record(recipe, text, folder)
    if known is not None:
        console.print(f"{recipe.name()}: taken from {path}")
        return Trained(recipe, path, **known)
    keras.utils.set_random_seed(recipe.seed)
    model = build(len(text.characters), recipe.units, recipe.dropout, cell=recipe.cell)
    if recipe.start:
        model.set_weights(_start(recipe, folder).get_weights())
    # The same variables in layers that skip the blocks that are zero already: training gets faster
    # as pruning goes on.
    model = ksr.substitute(model, block_shape=kept_in(recipe), storage="masked")
    begin = time.perf_counter()
    curve = _fit(
        model, recipe, text, console, _start(recipe, folder) if recipe.distillation else None
    )
    seconds = time.perf_counter() - begin
    model = ksr.to_dense(model)
    if recipe.units_left:
        model = ksr.remove_dead_units(model)
    known = {
        "bits": bits_per_character(model, text),
        "parameters": parameters(model),
        "sparsity": 1.0 - live_fraction(recurrent(model)),
        "seconds": seconds,
        "loss": curve.loss,
        "sparsities": curve.sparsity,
    }
    keep(path, model.save, _asked(recipe, text), known)
    return Trained(recipe, path, **known)


def record(recipe, text, folder):
    """What is recorded of the model that `trained` has finished, a dict; None if it has not."""
    return record_of(folder / f"{recipe.name()}.keras", _asked(recipe, text))


def _asked(recipe, text):
    return {**dataclasses.asdict(recipe), "text": text.digest}


def _start(recipe, folder):
    """The model that it starts from, with its optimizer, which knows what each weight is worth."""
    model = keras.models.load_model(folder / f"{recipe.start}.keras")
    if recipe.reorder:
        ksr.reorder_units(model, criterion="fisher")
    return model


def callbacks_of(recipe, text):
    """What prunes the model while it trains: no callback, one, or two."""
    if recipe.units_left:
        schedule = schedule_of(recipe, 1 - recipe.units_left / recipe.units)
        return [ksr.callbacks.UnitPruning(schedule, frequency=frequency_of(recipe))]
    through = recipe.criterion == "lamp-fisher"
    return pruning_of(
        recipe,
        lasso_stays=recipe.lasso_stays,
        criterion=ksr.criteria.LAMP("fisher") if through else recipe.criterion,
        keep_diagonal=recipe.keep_diagonal,
        regrowth=_regrowth(recipe, text),
    )


def taught(data, teacher):
    """Puts the teacher's logits behind the targets: `(inputs, targets)` become `(inputs, float32
    [batch, window, 1 + characters])`.
    """

    def both(inputs, targets):
        logits = teacher(inputs, training=False)
        return inputs, tf.concat([tf.cast(targets, logits.dtype)[..., None], logits], axis=-1)

    return data.map(both)


def distillation_loss(share):
    """The loss of Hinton, Vinyals and Dean 2015 (arXiv 1503.02531): `1 - share` of the
    cross-entropy with the text, `share` of that with the teacher.

    Both softmaxes of the latter have the temperature `TEMPERATURE`, by whose square it is
    multiplied, so that the gradients stay as large.

    Args:
        share: from 0 to 1.

    Returns:
        A function of what `taught` gives and of logits: float32 `[batch, window]`.
    """

    def loss(targets, logits):
        right = keras.losses.sparse_categorical_crossentropy(
            targets[..., 0], logits, from_logits=True
        )
        says = tf.nn.softmax(targets[..., 1:] / TEMPERATURE)
        difference = keras.losses.categorical_crossentropy(
            says, logits / TEMPERATURE, from_logits=True
        )
        return (1 - share) * right + share * TEMPERATURE**2 * difference

    return loss


def _fit(model, recipe, text, console, teacher=None):
    rate = ksr.recipes.warm_cosine(recipe.steps, recipe.learning_rate)
    data = windows(text.train, recipe.batch, recipe.window, recipe.steps, recipe.seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if teacher is not None:
        data, loss = taught(data, teacher), distillation_loss(recipe.distillation)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    curve = _Curve()
    model.fit(
        data,
        callbacks=[*callbacks_of(recipe, text), _Bar(recipe.name(), recipe.steps, console), curve],
        verbose=0,
        shuffle=False,
    )
    return curve


def _regrowth(recipe, text):
    """Masked layers compute no gradients of dead blocks, so it has a batch of its own for them."""
    if not recipe.regrowth:
        return None
    data = windows(text.train, 2 * recipe.batch, recipe.window, steps=1, seed=0)
    return ksr.callbacks.Regrowth(recipe.regrowth, until=3 * recipe.steps // 4, data=data)


class _Bar(keras.callbacks.Callback):
    """A progress bar over the steps, with the loss and the sparsity."""

    def __init__(self, title, steps, console):
        super().__init__()
        self.progress, self.task = progress_bar(title, steps, console)

    def on_train_begin(self, logs=None):
        self.progress.start()

    def on_train_batch_end(self, batch, logs=None):
        state = f"bits {logs['loss'] / np.log(2):.3f}"
        if "sparsity" in logs:
            state += f"  sparsity {logs['sparsity']:.3f}"
        self.progress.update(self.task, advance=1, state=state)

    def on_train_end(self, logs=None):
        self.progress.stop()


class _Curve(keras.callbacks.Callback):
    """Loss of each step and sparsity over the steps."""

    def __init__(self):
        super().__init__()
        self.loss, self.sparsity = [], []
        self._total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean since the beginning of the epoch; its difference is the loss of
        # this step.
        total = logs["loss"] * (batch + 1)
        self.loss.append(float(total - self._total) / float(np.log(2)))
        self.sparsity.append(float(logs.get("sparsity", 0.0)))
        self._total = total
