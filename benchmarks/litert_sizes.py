"""Measures the files that `export_litert` writes, per pattern: bytes, and milliseconds per sequence
in the stock interpreter.

    python -m benchmarks.litert_sizes [--units 512] [--steps 100] [--sparsity 0.9] [--threads \
        1] [--rounds 7]

The model is Embedding(100, 64), LSTM(units), Dense(100), untrained, with a random choice of blocks
of both LSTM kernels zero (gate by gate). Beside ours stands the file that TensorFlow's converter
makes of Keras's own loop with its sparsity option, on the same weights. All files are opened first
and then timed in turns, so that a busy machine slows all of them; the median over the rounds is
printed."""

import argparse
import os
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import export
from keras_sparse_rnn.export.quiet import quiet
from keras_sparse_rnn.patterns import Block

VOCABULARY, FEATURES = 100, 64
SHAPES = [None, (16, 16), (8, 8), (4, 4), (4, 1), (1, 16), (1, 8), (1, 1)]


def language_model(units, steps):
    """The model that is measured."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((steps,), dtype="int32", name="tokens"),
            keras.layers.Embedding(VOCABULARY, FEATURES),
            keras.layers.LSTM(units, return_sequences=True),
            keras.layers.Dense(VOCABULARY, name="logits"),
        ]
    )


def pruned(weights, block_shape, sparsity):
    """LSTM weights with random blocks of both kernels zero; as they are if `block_shape` is
    None.
    """
    if block_shape is None:
        return weights
    kernels, rng = [], np.random.default_rng(0)
    for kernel in weights[:2]:
        block = Block(block_shape)
        grid = block.grid(kernel.shape, gates=4)
        kernels.append(
            kernel * grid.expand(block.keep(grid, rng.normal(size=kernel.shape), sparsity))
        )
    return [*kernels, weights[2]]


def converters(model, steps):
    """The bytes of what TensorFlow's converter makes of the model by itself, with its sparsity
    option.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    call = tf.function(lambda tokens: model(tokens, training=False))
    frozen = convert_variables_to_constants_v2(
        call.get_concrete_function(tf.TensorSpec((1, steps), tf.int32))
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    converter._experimental_lower_tensor_list_ops = True
    with quiet():
        return converter.convert()


def opened(path, threads):
    """A function that runs one inference on the file."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
        (inputs,) = interpreter.get_input_details()
        interpreter.set_tensor(
            inputs["index"],
            np.random.default_rng(0).integers(0, VOCABULARY, inputs["shape"]).astype("int32"),
        )
        interpreter.invoke()
    return interpreter.invoke


def median_times(invokes, rounds, repeats=5):
    """Milliseconds of each, measured in turns."""
    times = [[] for _ in invokes]
    for _ in range(rounds):
        for invoke, seen in zip(invokes, times):
            for _ in range(repeats):
                before = time.perf_counter()
                invoke()
                seen.append(1e3 * (time.perf_counter() - before))
    return [statistics.median(seen) for seen in times]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in [("units", 512), ("steps", 100), ("threads", 1), ("rounds", 7)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sparsity", type=float, default=0.9)
    options = parser.parse_args(arguments)
    model = language_model(options.units, options.steps)
    lstm = model.layers[1]
    dense = lstm.get_weights()
    rows, invokes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            lstm.set_weights(pruned(dense, shape, options.sparsity))
            name = "dense" if shape is None else str(shape)
            ours, theirs = (
                os.path.join(folder, f"{len(rows)}{kind}.tflite") for kind in ("ours", "theirs")
            )
            summary = export.export_litert(model, ours, num_threads=options.threads)
            with open(theirs, "wb") as file:
                file.write(converters(model, options.steps))
            rows.append((name, summary, os.path.getsize(theirs)))
            invokes += [opened(ours, options.threads), opened(theirs, options.threads)]
            print(f"exported {name}", file=sys.stderr)
        times = median_times(invokes, options.rounds)
    print(
        f"LSTM of {options.units}, {options.sparsity:.0%} of both kernels zero, {options.steps} "
        f"steps, batch 1, {options.threads} thread(s)\n\n"
        "| blocks | bytes | times smaller | ms | largest error | computed sparse | the "
        "converter's bytes | its ms |\n|---|---|---|---|---|---|---|---|"
    )
    baseline = rows[0][1].bytes
    for (name, summary, other), ours, theirs in zip(rows, times[::2], times[1::2]):
        print(
            f"| {name} | {summary.bytes:,} | {baseline / summary.bytes:.2f} | {ours:.2f} | "
            f"{summary.largest_error:.1e} | {summary.computed_sparse} of {summary.sparse_tensors} "
            f"| {other:,} | {theirs:.2f} |"
        )


if __name__ == "__main__":
    main()
