"""What `BlockPruning` adds to a training step of an LSTM.

    python -m benchmarks.callback_overhead [--units 512] [--batch 32] [--steps 50] [--rounds 40]

Keras's LSTM is trained by `train_on_batch` with Adam, without the callback and with it, in several
block shapes. The variants take turns, one step each in every round, and each step is compared with
one without the callback right before it. Two things are measured: what an ordinary step takes
longer (the masks are applied in it, and the callback asks whether a mask is due), and what taking a
mask takes. A mask is taken in every tenth round here; at `frequency=100` a step has a hundredth of
that, which is what the table adds up.

Writes callback_overhead.json."""

import argparse
import json
import os
import pathlib
import platform
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_sparse_rnn as ksr
from benchmarks.training_speed import write

OUTPUT = pathlib.Path(__file__).parent / "results" / "callback_overhead.json"
SHAPES = (1, 1), (4, 4), (8, 8), (1, 16), (16, 1), (16, 16), (32, 32)
DUE = 10  # rounds between two masks
FREQUENCY = 100  # steps between two masks, of which the table speaks


class Timed(ksr.callbacks.BlockPruning):
    """Notes how long its hook takes after each step."""

    milliseconds = 0.0

    def update(self):
        begin = time.perf_counter()
        super().update()
        self.milliseconds = 1e3 * (time.perf_counter() - begin)


class Variant:
    """A model that is trained, with the callback or without.

    Args:
        options: the command line.
        block_shape: of the callback; None: without one.
    """

    def __init__(self, options, block_shape):
        keras.utils.set_random_seed(0)
        size = (options.steps, options.units)
        self.model = keras.Sequential([keras.Input(size), keras.layers.LSTM(options.units)])
        self.model.compile(keras.optimizers.Adam(1e-4), "mse")
        generator = np.random.default_rng(0)
        self.x = tf.constant(generator.normal(size=(options.batch, *size)), tf.float32)
        self.y = tf.zeros((options.batch, options.units))
        self.pruning = None
        if block_shape is not None:
            schedule = ksr.schedules.PolynomialDecay(0.1, 0.9, 1, options.rounds + 2)
            self.pruning = Timed(schedule, block_shape, frequency=DUE)
            self.pruning.set_model(self.model)
            self.pruning.on_train_begin()

    def step(self):
        """Milliseconds of a step; of the callback's hook after it; whether a mask was taken."""
        sparsity = self.pruning and self.pruning.sparsity
        begin = time.perf_counter()
        self.model.train_on_batch(self.x, self.y)
        step = 1e3 * (time.perf_counter() - begin)
        if self.pruning is None:
            return step, 0.0, False
        return step, self.pruning.milliseconds, self.pruning.sparsity != sparsity


def measured(options):
    """By block shape a list of `(step, hook, whether a mask was taken, step without the callback)`,
    milliseconds.
    """
    plain = Variant(options, None)
    variants = {shape: Variant(options, shape) for shape in SHAPES}
    found = {shape: [] for shape in SHAPES}
    for _ in range(options.rounds):
        for shape, variant in variants.items():
            before, *_ = plain.step()
            found[shape].append((*variant.step(), before))
    return found


def summary(rounds):
    """Of one block shape: milliseconds that an ordinary step takes longer, that a mask takes, and
    the two together as a share of a step without the callback, at `frequency=100`.
    """
    step, hook, due, before = np.array(rounds[2:]).T  # the first rounds trace
    due = due.astype(bool)
    ordinary = float(np.median((step - before)[~due]))
    mask, none = float(np.median(hook[due])), float(np.median(before))
    return {
        "step": none,
        "ordinary": ordinary,
        "mask": mask,
        "share": (ordinary + mask / FREQUENCY) / none,
    }


def printed(summaries, console):
    table = Table("block", "step, ms", "ordinary step, ms more", "mask, ms", "a step costs more")
    for shape, one in summaries.items():
        figures = f"{one['step']:.1f}", f"{one['ordinary']:.2f}", f"{one['mask']:.1f}"
        table.add_row(shape, *figures, f"{one['share']:.2%}")
    console.print(table)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    if options.rounds < 2 * DUE + 2:
        parser.error(f"argument --rounds: must be at least {2 * DUE + 2}, or no mask is taken")
    rounds = measured(options)
    summaries = {f"{a} x {b}": summary(found) for (a, b), found in rounds.items()}
    settings = {name: getattr(options, name) for name in ("units", "batch", "steps", "rounds")}
    settings.update(tensorflow=tf.__version__, keras=keras.__version__, frequency=FREQUENCY)
    settings["processor"] = f"{platform.machine()}, {os.cpu_count()} cores"
    results = json.dumps({"settings": settings, "shapes": summaries}, indent=1) + "\n"
    write(options.output, lambda draft: draft.write_text(results))
    printed(summaries, Console(width=None if sys.stdout.isatty() else 120))


if __name__ == "__main__":
    main()
