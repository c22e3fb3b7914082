"""One character language model that is trained, or rounded, at few bits; its figures."""

import dataclasses
import math
import time

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.common.few_bits import FLOAT, ROUNDED, FewBits, in_cells
from experiments.common.files import figures_of, keep, keep_figures, record_of
from experiments.common.number_formats import PARTS
from experiments.text.char_network import bits_of, live_fraction, recurrent
from experiments.text.char_recipe import Recipe
from experiments.text.char_text import windows
from experiments.text.char_training import trained

BLOCK = (16, 16)


@dataclasses.dataclass(frozen=True)
class Piece(FewBits):
    """One language model of the table."""

    def recipes(self):
        """The `Recipe`s of the dense model and of the one that this one starts from."""
        small = {"units": 48, "steps": 60} if self.quick else {"units": 256, "steps": 1250}
        dense = Recipe(**small, dropout=0.5, seed=self.seed)
        if not self.sparsity:
            return [dense]
        scope = {"scope": "gate"} if self.quick else {}
        pruned = Recipe(
            **small,
            **scope,
            learning_rate=32e-3,
            dropout=0.2,
            sparsity=self.sparsity,
            block_shape=BLOCK,
            start=dense.name(),
            seed=self.seed,
        )
        return [dense, pruned]

    @property
    def steps(self):
        """Of the training at few bits."""
        return 20 if self.quick else 500

    learning_rate = 4e-3

    def asked(self):
        """Everything that its figures depend on, as JSON takes it."""
        return {**dataclasses.asdict(self), "steps": self.steps, "rate": self.learning_rate}


def figures(piece, text, folder, console, train=True):
    """The figures of a piece, a dict as JSON takes it, from its file or by training.

    Args:
        piece: `Piece`.
        text: `Text`.
        folder: `pathlib.Path` for models and figures.
        console: `rich.console.Console`.
        train: whether it is made if it is missing; else None is returned then.

    Returns:
        dict with `bits` per character of `PARTS`, the same `in_cells`, `diverged`, `seconds`; and
        whether it was `made` now.
    """
    asked = {**piece.asked(), "text": text.digest}
    if piece.method == FLOAT:
        known = record_of(_path(piece, folder), asked)
    else:
        path = folder / f"{piece.name()}.json"
        known = figures_of(path, asked)
    if known is not None:
        return {**known, "made": False}
    if not train:
        return None
    console.print(piece.name())
    if piece.method == FLOAT:
        for recipe in piece.recipes():
            start = trained(recipe, text, folder, console)
        model, known = _trained(piece, start.model(), text)
        keep(_path(piece, folder), model.save, asked, known)
    else:
        start = _path(piece.control(), folder)
        if piece.method != ROUNDED:
            start = folder / f"{piece.recipes()[-1].name()}.keras"
        _, known = _trained(piece, keras.models.load_model(start), text)
        keep_figures(path, asked, known)
    return {**known, "made": True}


def _path(piece, folder):
    return folder / f"{piece.name()}.keras"


def _trained(piece, model, text):
    """Trains a plain Keras model at few bits. Returns a plain one if it is float32, and figures."""
    keras.utils.set_random_seed(piece.seed)
    low = piece.low_precision()
    block = tuple(min(size, recurrent(model).units) for size in BLOCK)
    model = ksr.substitute(model, block, storage="masked", low_precision=low)
    begin = time.perf_counter()
    loss = None if piece.method == ROUNDED else _fit(piece, model, text)
    known = {"seconds": time.perf_counter() - begin, "last_loss": loss}
    known["bits"] = _bits(model, text)
    if piece.in_cells():
        known["in_cells"] = _bits(in_cells(model), text)
    if low is None:
        model = ksr.to_dense(model)
        known["sparsity"] = 1.0 - live_fraction(recurrent(model))
    # Without a word of what the text is, a character takes log2 of their number.
    known["diverged"] = not known["bits"]["test"] < math.log2(len(text.characters))
    return model, known


def _fit(piece, model, text):
    """Returns the loss of the last tenth of the steps, in bits per character."""
    batch, window = (8, 16) if piece.quick else (32, 64)
    data = windows(text.train, batch, window, piece.steps, 1000 + piece.seed)
    rate = ksr.recipes.warm_cosine(piece.steps, piece.learning_rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    losses = _Losses()
    model.fit(data, verbose=0, shuffle=False, callbacks=[losses])
    last = losses.totals[-1] - losses.totals[-1 - piece.steps // 10]
    return float(last / (piece.steps // 10) / np.log(2))


class _Losses(keras.callbacks.Callback):
    """The sums of the losses of all steps so far."""

    def __init__(self):
        super().__init__()
        self.totals = [0.0]

    def on_train_batch_end(self, batch, logs=None):
        self.totals.append(float(logs["loss"]) * (batch + 1))


def _bits(model, text):
    """Bits per character of both halves of the held-out text."""
    inputs, targets = text.evaluation()
    half = len(inputs) // 2
    halves = (inputs[:half], targets[:half]), (inputs[half:], targets[half:])
    predict = tf.function(model, reduce_retracing=True)
    return {part: bits_of(predict, *each) for part, each in zip(PARTS, halves, strict=True)}
