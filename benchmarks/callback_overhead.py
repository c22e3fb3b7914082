"""What `BlockPruning` adds to a training step of an LSTM.

    python -m benchmarks.callback_overhead
        [--units 512] [--inputs 64] [--batch 32] [--steps 64] [--rounds 100]

The LSTM of examples/char_lm.py is trained on batches of its size, with Adam; `--inputs 512` makes
its kernel as large as the recurrent one. In every round each block shape makes two steps of one
model, side by side and in turns the one or the other first: one of Keras's own training function,
without the callback, and one with it. So both have the same weights at the same place in memory,
which alone makes steps differ by more than the callback does.

Two things are measured: what an ordinary step takes longer (the masks are applied in it, and the
callback asks whether a mask is due), the median over all block shapes, for it is the same work in
all of them; and what taking a mask takes. A mask is taken in every tenth round here; at
`frequency=100` a step has a hundredth of that, which is what the table adds up.

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
NAMES = "units", "inputs", "batch", "steps", "rounds"
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
    """A model that is trained with the callback and without.

    Args:
        options: the command line.
        block_shape: of the callback.
    """

    def __init__(self, options, block_shape):
        keras.utils.set_random_seed(0)
        size = (options.steps, options.inputs)
        self.model = keras.Sequential([keras.Input(size), keras.layers.LSTM(options.units)])
        self.model.compile(keras.optimizers.Adam(1e-4), "mse")
        generator = np.random.default_rng(0)
        self.x = tf.constant(generator.normal(size=(options.batch, *size)), tf.float32)
        self.y = tf.zeros((options.batch, options.units))
        self.milliseconds()  # traces Keras's function before there is a mask
        self.plain = self.model.train_function
        schedule = ksr.schedules.PolynomialDecay(0.1, 0.9, 1, 2 * options.rounds + 2)
        self.pruning = Timed(schedule, block_shape, frequency=2 * DUE)
        self.pruning.set_model(self.model)
        self.pruning.on_train_begin()
        self.pruned = self.model.train_function

    def milliseconds(self):
        """Of a step."""
        begin = time.perf_counter()
        self.model.train_on_batch(self.x, self.y)
        return 1e3 * (time.perf_counter() - begin)

    def round(self, plain_first):
        """Milliseconds of a step with the callback; of its hook after it; whether a mask was taken;
        of a step without it.
        """
        sparsity, taken = self.pruning.sparsity, {}
        for function in (self.plain, self.pruned) if plain_first else (self.pruned, self.plain):
            self.model.train_function = function
            taken[function] = self.milliseconds()
        due = self.pruning.sparsity != sparsity
        return taken[self.pruned], self.pruning.milliseconds, due, taken[self.plain]


def measured(options):
    """By block shape a list of what `Variant.round` returns."""
    variants = {shape: Variant(options, shape) for shape in SHAPES}
    found = {shape: [] for shape in SHAPES}
    for number in range(options.rounds):
        for shape, variant in variants.items():
            found[shape].append(variant.round(number % 2 == 0))
    return found


def summaries_of(found):
    """By block shape: milliseconds that an ordinary step takes longer, that a mask takes, and the
    two together as a share of a step without the callback, at `frequency=100`.
    """
    kept = {shape: np.array(rounds[2:]).T for shape, rounds in found.items()}  # first ones trace
    longer = [(step - before)[due == 0] for step, _, due, before in kept.values()]
    ordinary = float(np.median(np.concatenate(longer)))
    summaries = {}
    for (rows, columns), (_, hook, due, before) in kept.items():
        mask, step = float(np.median(hook[due == 1])), float(np.median(before))
        summaries[f"{rows} x {columns}"] = {
            "step": step,
            "ordinary": ordinary,
            "mask": mask,
            "share": (ordinary + mask / FREQUENCY) / step,
        }
    return summaries


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
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    if options.rounds < 2 * DUE + 2:
        parser.error(f"argument --rounds: must be at least {2 * DUE + 2}, or no mask is taken")
    summaries = summaries_of(measured(options))
    settings = {name: getattr(options, name) for name in NAMES}
    settings.update(tensorflow=tf.__version__, keras=keras.__version__, frequency=FREQUENCY)
    settings["processor"] = f"{platform.machine()}, {os.cpu_count()} cores"
    results = json.dumps({"settings": settings, "shapes": summaries}, indent=1) + "\n"
    write(options.output, lambda draft: draft.write_text(results))
    printed(summaries, Console(width=None if sys.stdout.isatty() else 120))


if __name__ == "__main__":
    main()
