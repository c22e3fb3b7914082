"""Measures from which sparsity on our layers are faster than Keras's, in small batches: the note of
`ksr.report` on them.

    python -m benchmarks.break_even [--cells lstm gru] [--units 256 512 1024] [--batches 1 4 8 \
        15 16 24] [--rounds 5]

A layer of 64 inputs runs 30 steps, forward, and forward and backward. Keras's layer and ours at
several sparsities take turns, so that a busy machine slows all of them; what is printed is how many
times faster than Keras's ours is, by medians over the rounds."""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse_rnn as ksr
from keras_sparse_rnn.report import BREAK_EVEN

SPARSITIES = (0.0, 0.3, 0.5, 0.6, 0.65, 0.7, 0.8)
CELLS = {
    "lstm": ("LSTM", "BlockSparseLSTM"),
    "gru": ("GRU", "BlockSparseGRU"),
    "simple_rnn": ("SimpleRNN", "BlockSparseSimpleRNN"),
}
FEATURES, STEPS = 64, 30


def layers(cell, units):
    """Keras's layer, then ours at each of `SPARSITIES`."""
    keras_name, name = CELLS[cell]
    yield getattr(keras.layers, keras_name)(units, return_sequences=True)
    for sparsity in SPARSITIES:
        yield getattr(ksr.layers, name)(units, (16, 16), sparsity=sparsity, return_sequences=True)


def calls(layer, x):
    """Functions that run it once: forward; forward and backward."""
    layer(x)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, layer.trainable_variables)

    forward = tf.function(lambda: layer(x))
    return forward, train


def medians(functions, rounds):
    """Seconds of one call of each."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for number in range(rounds):
        for function, seconds in list(zip(functions, times))[:: -1 if number % 2 else 1]:
            function()
            for _ in range(2):
                start = time.perf_counter()
                function()
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm", "gru"])
    parser.add_argument("--units", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 8, 15, 16, 24])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if min([*options.units, *options.batches, options.rounds]) < 1:
        parser.error(
            f"--units, --batches and --rounds must be at least 1. Received: {options.units}, "
            f"{options.batches}, {options.rounds}"
        )
    tf.get_logger().setLevel(
        "ERROR"
    )  # it takes the many functions for one that is traced again and again
    cases = [
        (cell, units, batch)
        for cell in options.cells
        for units in options.units
        for batch in options.batches
    ]
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(
        title="Times faster than Keras's layer, by sparsity; the report warns below "
        f"{BREAK_EVEN:.0%} in batches of fewer than 16"
    )
    for title in ("cell", "H", "batch", "", *(f"{sparsity:.0%}" for sparsity in SPARSITIES)):
        table.add_column(title, justify="right")
    for cell, units, batch in track(cases, "Measuring", console=console):
        x = tf.constant(
            np.random.default_rng(0).normal(size=(batch, STEPS, FEATURES)).astype("float32")
        )
        modes = zip(*(calls(layer, x) for layer in layers(cell, units)))
        for mode, functions in zip(("forward", "training"), modes):
            dense, *ours = medians(functions, options.rounds)
            table.add_row(
                cell, str(units), str(batch), mode, *(f"{dense / seconds:.2f}" for seconds in ours)
            )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
