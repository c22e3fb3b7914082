"""Measures what a stored weight costs in each block shape, relative to (16, 16): the table in
keras_sparse_rnn/substitution/block_shapes.py.

    python -m benchmarks.block_shapes [--units 512 1024] [--sparsity 0.9] [--threads 1] [--rounds 9]

Runs the native LSTM op over random patterns of each shape, and divides its time by the number of
weights in live blocks. Three cases: one sample (inference), a batch (inference), and a batch
forward and backward (training). The shapes take turns, so that a busy machine slows all of them;
medians over the rounds, and of them the mean over the numbers of units, are printed. Shapes without
kernels of their own are marked with *."""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from keras_sparse_rnn import ops
from keras_sparse_rnn.patterns import Block, BlockGrid
from keras_sparse_rnn.substitution.block_shapes import RELATIVE_COST

OTHER_SHAPES = [
    (1, 1),
    (2, 1),
    (8, 1),
    (16, 1),
    (32, 1),
    (1, 2),
    (2, 2),
    (4, 3),
    (1, 4),
    (16, 4),
    (3, 5),
    (4, 6),
    (4, 8),
    (4, 9),
    (12, 12),
    (4, 20),
    (1, 32),
]
CASES = {
    "one sample": (1, 100, False),
    "batch 32": (32, 20, False),
    "training, batch 32": (32, 20, True),
}  # batch, steps, gradients
FEATURES = 64


def problem(units, shape, sparsity, batch, steps, gradients, features=FEATURES):
    """A function that runs the op once, and how many weights it stores."""
    generator = np.random.default_rng(0)
    packed = []
    for inputs in (features, units):
        grid = BlockGrid(inputs, units, 4, shape)
        kernel = generator.normal(size=grid.kernel_shape, scale=0.05).astype("float32")
        values, blocks = grid.pack(
            kernel
            * grid.expand(Block(shape).keep(grid, generator.normal(size=kernel.shape), sparsity))
        )
        packed.append((tf.constant(values), tf.constant(blocks), grid))
    x = tf.constant(generator.normal(size=(batch, steps, features)).astype("float32"))
    state, bias = tf.zeros((batch, units)), tf.zeros((4 * units,))

    def forward(x, values, recurrent_values):
        kernels = (
            ops.PackedKernel(v, blocks, grid)
            for v, (_, blocks, grid) in zip((values, recurrent_values), packed)
        )
        return ops.block_sparse_lstm(
            x, state, state, *kernels, bias, kernel="native", training=gradients
        )[0]

    def both(*variables):
        with tf.GradientTape() as tape:
            tape.watch(variables)
            outputs = forward(*variables)
        return tape.gradient(outputs, variables)

    call = tf.function(both if gradients else forward)
    arguments = (x, packed[0][0], packed[1][0])
    return lambda: call(*arguments), sum(values.shape.num_elements() for values, _, _ in packed)


def relative_costs(units, sparsity, case, shapes, rounds):
    """Of each shape: time for a stored weight, that of (16, 16) being 1, measured in turns."""
    problems = [problem(units, shape, sparsity, *case) for shape in shapes]
    times = [[] for _ in shapes]
    for run, _ in problems:
        run()
    for _ in range(rounds):
        for (run, _), seen in zip(problems, times):
            run()  # brings its weights into the cache
            before = time.perf_counter()
            run()
            seen.append(time.perf_counter() - before)
    costs = {
        shape: statistics.median(seen) / weights
        for shape, seen, (_, weights) in zip(shapes, times, problems)
    }
    return {shape: cost / costs[16, 16] for shape, cost in costs.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, nargs="+", default=[512, 1024])
    for name, default in (("threads", 1), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sparsity", type=float, default=0.9)
    options = parser.parse_args(arguments)
    ops.set_num_threads(options.threads)
    console = Console(width=None if sys.stdout.isatty() else 120)
    shapes = [*RELATIVE_COST, *(shape for shape in OTHER_SHAPES if shape not in RELATIVE_COST)]
    pairs = [(name, units) for name in CASES for units in options.units]
    found = {name: [] for name in CASES}
    for name, units in track(pairs, "measuring", console=Console(stderr=True)):
        found[name].append(
            relative_costs(units, options.sparsity, CASES[name], shapes, options.rounds)
        )
    units = " and ".join(map(str, options.units))
    title = (
        f"Time for a stored weight, that of (16, 16) being 1: LSTM of {units} units, "
        f"{options.sparsity:.0%} sparse, {options.threads} thread(s), {ops.cpu()}"
    )
    table = Table("block shape", *(name for name in CASES), "in the table now", title=title)
    for shape in shapes:
        costs = (statistics.mean(one[shape] for one in found[name]) for name in CASES)
        table.add_row(
            str(shape), *(f"{cost:.2f}" for cost in costs), str(RELATIVE_COST.get(shape, "*"))
        )
    console.print(table)


if __name__ == "__main__":
    main()
