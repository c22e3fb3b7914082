"""The recipe of the speech recogniser: its network, its training, its score."""

import ctypes
import dataclasses
import pathlib
import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.common.files import keep, record_of
from experiments.common.progress import progress_bar
from experiments.common.pruning import pruning_of
from experiments.speech.speech_data import FEATURES
from experiments.speech.speech_network import (
    Recipe,
    build,
    masked,
    parameters,
    sparsity_of,
)

FRACTION, EXCHANGES = 0.3, 100  # of live blocks at first; in a training


def keep_memory():
    """Asks the C library to keep what is freed, for batches of another length than the last need
    all of their tensors anew.

    Otherwise much of it goes back to the system at each step, and comes back page by page. Only
    glibc takes these settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    arenas, trim, top, map_above = -8, -1, -2, -3  # M_ARENA_MAX and so on, of malloc.h
    for setting, value in ((arenas, 1), (trim, 2**31 - 1), (top, 2**28), (map_above, 2**25)):
        mallopt(setting, value)


def ctc(targets, log_probabilities):
    """The CTC loss of each utterance, in nats; `targets` as of `speech_data.collate`.

    TensorFlow's kernel for sparse labels: on a CPU it is an order of magnitude faster than the loop
    over frames behind `keras.losses.CTC`, and it takes the length of each utterance.
    """
    targets = tf.cast(targets, tf.int32)
    return tf.nn.ctc_loss(
        labels=tf.sparse.from_dense(targets[:, 1:]),
        logits=log_probabilities,
        label_length=None,
        logit_length=targets[:, 0],
        logits_time_major=False,
        blank_index=0,
    )


def transcribe(model, speech, batch=64):
    """What the model hears in each utterance of the test: greedily the likeliest class of each
    frame, repeats once, without blanks.
    """
    texts = [""] * len(speech.test)
    # One trace for all shapes.
    best = tf.function(
        lambda x: tf.argmax(model(x, training=False), axis=-1),
        input_signature=[tf.TensorSpec((None, None, FEATURES), tf.float32)],
    )
    for numbers, (frames, targets) in speech.evaluation(batch):
        for number, classes, length in zip(numbers, best(frames).numpy(), targets[:, 0]):
            texts[number] = speech.decode(collapsed(classes[:length]))
    return texts


def collapsed(classes):
    """CTC's reading of a path: equal neighbours once, then without blanks (class 0)."""
    classes = np.asarray(classes)
    first = np.insert(classes[1:] != classes[:-1], 0, True)
    return classes[first & (classes != 0)]


def edit_distance(one, other):
    """The fewest insertions, deletions and replacements of a letter that make `one` into
    `other`.
    """
    row = list(range(len(other) + 1))
    for done, letter in enumerate(one, 1):
        diagonal, row[0] = row[0], done
        for place, wanted in enumerate(other, 1):
            diagonal, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, diagonal + (letter != wanted)),
            )
    return row[-1]


def character_error_rate(heard, said):
    """Edit distances of all utterances over the letters of all: in [0, 1], or above if much is
    heard that was not said.
    """
    return sum(map(edit_distance, heard, said)) / sum(map(len, said))


def spread(values):
    """Mean and, of several, the standard deviation, in per cent."""
    return (
        f"{100 * statistics.mean(values):.2f}"
        + (f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else "")
        + " %"
    )


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished model and what came out of its training.

    Attributes:
        recipe: as it was trained.
        path: of the saved model, a plain Keras one.
        cer: character error rate on the test.
        parameters: that are not zero.
        sparsity: of the recurrent layers' kernels.
        seconds: of training.
        heard: the first utterances of the test as the model hears them.
        loss, sparsities: nats a letter of the batch, with the penalty while there is one, and
            sparsity, for each step.
    """

    recipe: Recipe
    path: pathlib.Path
    cer: float
    parameters: int
    sparsity: float
    seconds: float
    heard: list
    loss: list
    sparsities: list

    def model(self):
        """Loads the model."""
        return keras.models.load_model(self.path, compile=False)


def trained(recipe, speech, folder, console):
    """Trains by `recipe`, or takes the model that an earlier run has finished.

    Args:
        recipe: `Recipe`.
        speech: `Speech`.
        folder: where the model and its record are kept.
        console: `rich.console.Console`.

    Returns:
        `Trained`.
    """
    path = folder / f"{recipe.name()}.keras"
    asked = {**dataclasses.asdict(recipe), "speech": speech.digest}
    known = record_of(path, asked)
    if known is not None:
        console.print(f"{recipe.name()}: taken from {path}")
        return Trained(recipe, path, **known)
    keras.utils.set_random_seed(recipe.seed)
    model = build(recipe, len(speech.letters))
    if recipe.start:
        model.set_weights(_kept(recipe.start, folder).get_weights())
    if not recipe.evolution:
        # The same variables in layers that skip the blocks that are zero already: training gets
        # faster as pruning goes on.
        model = masked(model, recipe)
    begin = time.perf_counter()
    teacher = _kept(recipe.teacher, folder) if recipe.distillation else None
    curve = fit(model, recipe, speech, console, teacher)
    seconds = time.perf_counter() - begin
    heard = transcribe(model, speech)
    model = ksr.to_dense(model)
    known = {
        "cer": character_error_rate(heard, speech.texts),
        "parameters": parameters(model),
        "sparsity": sparsity_of(model),
        "seconds": seconds,
        "heard": heard[:20],
        "loss": curve.loss,
        "sparsities": curve.sparsity,
    }
    keep(path, model.save, asked, known)
    return Trained(recipe, path, **known)


def _kept(name, folder):
    """A finished model."""
    return keras.models.load_model(folder / f"{name}.keras", compile=False)


def fit(model, recipe, speech, console, teacher=None):
    """Trains a model by its recipe; returns what has kept the losses and sparsities of all
    steps."""
    rate = ksr.recipes.warm_cosine(recipe.steps, recipe.learning_rate)
    data, loss = speech.batches(recipe.batch, recipe.steps, recipe.seed), ctc
    if teacher is not None:
        teacher = ksr.substitute(teacher, storage="masked")  # the faster layers
        data, loss = taught(data, teacher), distillation_loss(recipe.distillation)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    letters = np.mean([len(codes) for _, codes in speech.training])
    curve = _Curve(recipe.name(), recipe.steps, letters, console)
    with curve.progress:
        model.fit(data, callbacks=[*_sparse(recipe), curve], verbose=0, shuffle=False)
    return curve


def taught(data, teacher):
    """Puts what the teacher says behind the targets, frame after frame: `(frames, targets)` become
    `(frames, float32 [batch, 1 + letters + frames * classes])`.
    """

    def both(frames, targets):
        says = teacher(frames, training=False)
        says = tf.reshape(says, [tf.shape(says)[0], -1])
        return frames, tf.concat([tf.cast(targets, says.dtype), says], axis=-1)

    return data.map(both)


def distillation_loss(share):
    """The loss of each utterance, in nats: `1 - share` of CTC's, `share` of the cross-entropy with
    the teacher (Hinton, Vinyals and Dean 2015, arXiv 1503.02531), added up over its frames.

    Args:
        share: from 0 to 1.

    Returns:
        A function of what `taught` gives and of log-probabilities: float32 `[batch]`.
    """

    def loss(targets, log_probabilities):
        shape = tf.shape(log_probabilities)
        said = tf.shape(targets)[1] - shape[1] * shape[2]
        says = tf.reshape(targets[:, said:], shape)
        lengths = tf.cast(targets[:, 0], tf.int32)
        differences = -tf.reduce_sum(tf.exp(says) * log_probabilities, axis=-1)
        differences *= tf.sequence_mask(lengths, shape[1], log_probabilities.dtype)
        right = ctc(targets[:, :said], log_probabilities)
        return (1 - share) * right + share * tf.reduce_sum(differences, axis=-1)

    return loss


def _sparse(recipe):
    """The callbacks that prune, and let a group lasso go when the pruning is done; or those that
    exchange live blocks.
    """
    if not recipe.evolution:
        return pruning_of(recipe)
    end = recipe.steps * 3 // 4
    return [ksr.callbacks.Evolution(max(1, end // EXCHANGES), FRACTION, end_step=end)]


class _Curve(keras.callbacks.Callback):
    """Loss of each step, in nats a letter, and sparsity; with a progress bar that shows them."""

    def __init__(self, title, steps, letters, console):
        super().__init__()
        self.loss, self.sparsity = [], []
        self.letters = letters
        self._total = 0.0
        self.progress, self._task = progress_bar(title, steps, console)

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean since the beginning of the epoch; its difference is the loss of
        # this step.
        total = logs["loss"] * (batch + 1)
        self.loss.append(float(total - self._total) / self.letters)
        self.sparsity.append(float(logs.get("sparsity", 0.0)))
        self._total = total
        recent = self.loss[-50:]
        state = f"loss {sum(recent) / len(recent):.3f}" + (
            f"  sparsity {self.sparsity[-1]:.3f}" if self.sparsity[-1] else ""
        )
        self.progress.update(self._task, advance=1, state=state)
