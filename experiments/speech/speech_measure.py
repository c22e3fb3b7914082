"""What the finished models are worth besides their error rates: the time of a training step, and a
picture of what they hear.
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from experiments.speech.speech_data import collate
from experiments.speech.speech_features import MELS, STACK
from experiments.speech.speech_network import build, masked
from experiments.speech.speech_training import ctc, edit_distance


def milliseconds_per_step(models, speech, rounds=7):
    """Times a step of training with Adam on one batch of middling length, all models in turns, so
    that all see the same machine.

    Args:
        models: mapping of titles to `Trained`, the first one dense. They are timed as pruned, in
            layers of masked storage.
        speech: `Speech`, which the batch is taken from.
        rounds: turns of each; the first does not count.

    Returns:
        dict of titles to medians; `"keras"` is the first model in Keras's own layers.
    """
    order = np.argsort([len(frames) for frames, _ in speech.training], kind="stable")
    first = next(iter(models.values())).recipe
    middle = len(order) // 2
    batch = collate([speech.training[one] for one in order[middle : middle + first.batch]])
    networks = {"keras": build(first, len(speech.letters))}
    for title, one in models.items():
        networks[title] = masked(one.model(), one.recipe)
    for network in networks.values():
        # At a rate of zero all rounds compute the same.
        network.compile(keras.optimizers.Adam(0.0, clipnorm=1.0), ctc)
        network.train_on_batch(*batch)
    times = {title: [] for title in networks}
    for _ in range(rounds):
        for title, network in networks.items():
            network.train_on_batch(
                *batch
            )  # finds the caches, and the threads, as the other network has left them
            start = time.perf_counter()
            network.train_on_batch(*batch)
            times[title].append(1000 * (time.perf_counter() - start))
    return {title: statistics.median(values[1:]) for title, values in times.items()}


def draw_curves(models, path, smooth=100):
    """Draws the loss of training, averaged over `smooth` steps, and the sparsity.

    Args:
        models: mapping of titles to `Trained`.
        path: a file to write.
        smooth: an integer.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    upper, lower = figure.subplots(2, height_ratios=[3, 1], sharex=True)
    for title, one in models.items():
        window = min(smooth, len(one.loss))
        averaged = np.convolve(one.loss, np.ones(window) / window, mode="valid")
        (line,) = upper.semilogy(
            np.arange(window - 1, len(one.loss)), averaged, label=title, linewidth=1.2
        )
        lower.plot(one.sparsities, color=line.get_color(), linewidth=1.2)
    upper.set(ylabel="training loss, nats a letter\n(with the penalty, while there is one)")
    lower.set(xlabel="training step", ylabel="sparsity", ylim=(-0.03, 1))
    for axis in (upper, lower):
        axis.grid(alpha=0.25)
    figure.legend(fontsize=8, loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)


def draw_utterance(models, speech, path):
    """Draws an utterance of the test, and when each model hears which letter.

    It is the one of the first twenty that the models disagree most about, so that there is
    something to see.

    Args:
        models: mapping of titles to `Trained`.
        speech: `Speech`.
        path: a file to write.
    """
    from matplotlib.figure import Figure

    known = min(len(one.heard) for one in models.values())
    errors = np.array(
        [
            [edit_distance(one.heard[number], speech.texts[number]) for number in range(known)]
            for one in models.values()
        ]
    )
    number = int(np.argmax(errors.max(axis=0) - errors.min(axis=0)))
    frames, _ = speech.test[number]
    figure = Figure(figsize=(10, 2.2 + 1.05 * len(models)), layout="constrained")
    top, *axes = figure.subplots(
        1 + len(models), height_ratios=[2.2] + [1] * len(models), sharex=True
    )
    seconds = len(frames) * STACK * 0.01
    # Features are two windows side by side: one after the other again.
    top.imshow(
        frames.reshape(-1, MELS).T.astype(np.float32),
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, MELS),
        cmap="magma",
    )
    top.set_title(f'said: "{speech.texts[number]}"', fontsize=10, loc="left")
    top.set_ylabel("mel band", fontsize=8)
    for axis, (title, one) in zip(axes, models.items()):
        chances = np.exp(one.model()(tf.constant(frames[None].astype(np.float32)))[0].numpy())
        classes = chances.argmax(axis=-1)
        places = (np.arange(len(classes)) + 0.5) * STACK * 0.01
        axis.fill_between(places, chances[:, 1:].max(axis=-1), step="mid", alpha=0.35, linewidth=0)
        for place, letter, before in zip(places, classes, [0, *classes]):
            if letter not in (0, before):
                axis.text(
                    place,
                    0.5,
                    speech.letters[letter - 1].replace(" ", "␣"),
                    fontsize=9,
                    ha="center",
                    va="center",
                )
        axis.set(ylim=(0, 1), yticks=())
        axis.set_title(f'{title}: "{one.heard[number]}"', fontsize=8, loc="left", pad=2)
    axes[-1].set_xlabel("seconds; shaded: the largest chance of a letter", fontsize=8)
    figure.savefig(path, dpi=110)
