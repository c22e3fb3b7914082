"""The network, dense or pruned, how its training sequences are made, and how it is trained."""

import keras
import numpy as np

import keras_sparse_rnn as ksr

from .data import DECIDED, FRAMES, decisions, streams
from .front_end import MELS, WIDTH
from .spoken import LABELS, SILENCE

SPARSITY, BLOCK = 0.9, (16, 16)
BATCH, TOGETHER = 32, 2  # sequences of a batch, clips of a sequence
NOTHING_YET, ITS_WEIGHT = 6, 0.25  # first frames of a clip, at which no word has been said


def network(units, dropout=0.0):
    """One LSTM and a Dense layer: a log-mel frame in, a logit for each of `LABELS` out."""
    return keras.Sequential(
        [
            keras.Input((None, MELS), name="mel"),
            keras.layers.LSTM(units, return_sequences=True, name="lstm"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(len(LABELS), name="words"),
        ]
    )


class Sequences(keras.utils.PyDataset):
    """Batches of two clips one after the other, so that a network learns to go on after a word.

    Each time, a clip comes louder or softer, a little earlier or later, and with a range of bands
    and a range of frames silenced. What counts is the last 0.2 s of each clip, and a little its
    first 0.15 s, at which no word has been said yet.

    Args:
        frames, labels: what `data.load` returns.
        seed: an integer.
    """

    def __init__(self, frames, labels, seed):
        super().__init__()
        self.frames, self.labels = frames, labels
        self._generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.labels) // (BATCH * TOGETHER)

    def on_epoch_end(self):
        self._order = self._generator.permutation(len(self.labels))

    def __getitem__(self, number):
        count = BATCH * TOGETHER
        chosen = self._order[number * count : (number + 1) * count]
        x = self._altered(self.frames[chosen])
        y = np.repeat(self.labels[chosen, None], FRAMES, axis=1)
        y[:, :NOTHING_YET] = LABELS.index(SILENCE)
        weights = np.zeros(y.shape, np.float32)
        weights[:, :NOTHING_YET], weights[:, -DECIDED:] = ITS_WEIGHT, 1
        weights /= weights.mean()
        return tuple(each.reshape(BATCH, -1, *each.shape[2:]) for each in (x, y, weights))

    def _altered(self, frames):
        draw = self._generator
        shifts, gains, *ranges = np.array(
            [
                (
                    draw.integers(-2, 3),
                    draw.uniform(-6, 6),  # decibels
                    draw.integers(0, 7),
                    draw.integers(0, MELS - 7),
                    draw.integers(0, 5),
                    draw.integers(0, FRAMES - 5),
                )
                for _ in frames
            ]
        ).T
        places = (np.arange(FRAMES) - shifts[:, None].astype(int)) % FRAMES
        frames = np.take_along_axis(frames, places[:, :, None], axis=1)
        frames += (2 * np.log(10) / 20 / WIDTH * gains).astype(np.float32)[:, None, None]
        wide, band, long, first = (each[:, None] for each in ranges)
        bands, times = np.arange(MELS) - band, np.arange(FRAMES) - first
        silenced = ((bands >= 0) & (bands < wide))[:, None] | ((times >= 0) & (times < long))[
            ..., None
        ]
        return np.where(silenced, frames.mean(axis=(1, 2), keepdims=True), frames)


def trained(kind, units, training, settings, epochs, seed, verbose=0):
    """A network, trained from random weights.

    Both kinds train in layers of masked storage, whose steps get faster as blocks go.

    Args:
        kind: `"dense"` or `"pruned"`.
        units: of the LSTM.
        training: `(frames, labels)`.
        settings: dict of `"learning_rate"`, `"dropout"` and, for a pruned one, `"lasso"`.
        epochs: how often it sees all clips.
        seed: an integer.
        verbose: as `fit` takes it.

    Returns:
        A plain Keras model.
    """
    keras.utils.set_random_seed(seed)
    batches = Sequences(*training, seed)
    steps, rate = epochs * len(batches), settings["learning_rate"]
    model = ksr.substitute(network(units, settings["dropout"]), BLOCK, storage="masked")
    if kind == "pruned":
        recipe = ksr.recipes.PruneTrained(steps, rate, SPARSITY, BLOCK, lasso=settings["lasso"])
        callbacks, rate = [*recipe], recipe.learning_rate
    else:
        callbacks, rate = [], ksr.recipes.warm_cosine(steps, rate)
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(batches, epochs=epochs, callbacks=callbacks, verbose=verbose)
    return ksr.to_dense(model)


def accuracy(model, frames, labels):
    """The share of clips that the model tells right, in streams."""
    x, y = streams(frames, labels)
    return float((decisions(model.predict(x, batch_size=16, verbose=0)) == y).mean())


def live_weights(model):
    """How many numbers of the model are not zero."""
    return int(sum(np.count_nonzero(weight.numpy()) for weight in model.weights))
