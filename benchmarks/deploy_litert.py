"""Measures one step of a recurrent layer in LiteRT: stock dense, int8, sparse, and our operators.

    python -m benchmarks.deploy_litert [--cells lstm gru] [--inputs 256] [--units 512]
        [--sparsity 0.9] [--block 16 16] [--steps 1] [--threads 1] [--rounds 15] [--json FILE]

Each file takes a chunk of `steps` and the states, and returns outputs and new states. "Dense int8"
is what TensorFlow's converter makes of the dense graph with its default optimisation: int8 weights
with a scale for each output, inputs rounded as they come; "stock sparse int8" is our export with
`weights="int8"`, on the built-in operators. All files of a cell are opened first and then run
in turns; a time is the median over the rounds of the mean of many invocations, in microseconds per
step."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks import machine
from keras_sparse_rnn import export
from keras_sparse_rnn.export import conversion, verification
from keras_sparse_rnn.export.quiet import quiet
from keras_sparse_rnn.patterns import Block

CELLS = {"lstm": (keras.layers.LSTM, 4, 2), "gru": (keras.layers.GRU, 3, 1)}
STOCK = ["stock dense float32", "stock dense int8", "stock sparse", "stock sparse int8"]
OURS = [("float32", "float32"), ("bfloat16", "float32"), ("int8", "float32"), ("int8", "int8")]
SECONDS = 0.05  # of each file in each round


def streaming_model(cell, inputs, units, steps):
    """A model of one layer, from a chunk and states to outputs and states."""
    layer, _, states = CELLS[cell]
    keras.utils.set_random_seed(0)
    x = keras.Input((steps, inputs), batch_size=1, name="x")
    before = [keras.Input((units,), batch_size=1, name=name) for name in "hc"[:states]]
    outputs = layer(units, return_sequences=True, return_state=True)(x, initial_state=before)
    return keras.Model([x, *before], outputs)


def prune(model, cell, block_shape, sparsity):
    """Lets random blocks of both kernels be zero, gate by gate."""
    layer, rng = model.layers[-1], np.random.default_rng(0)
    for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
        block = Block(block_shape)
        grid = block.grid(kernel.shape, CELLS[cell][1])
        keep = block.keep(grid, rng.normal(size=kernel.shape), sparsity)
        kernel.assign(kernel.numpy() * grid.expand(keep))


def dense_int8(model, path):
    """What TensorFlow's converter makes of the dense graph with int8 weights."""
    shapes = [tf.TensorSpec(each.shape, name=each.name) for each in model.inputs]

    @tf.autograph.experimental.do_not_convert
    def forward(*inputs):
        outputs = conversion.call(model, model.inputs, inputs)
        return {f"output_{number}": output for number, output in enumerate(outputs)}

    with conversion.exportable(model):
        module = tf.Module()
        module.forward = tf.function(forward, input_signature=shapes)
        traced = module.forward.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet(), open(path, "wb") as file:
        file.write(converter.convert())


def arrays(shapes):
    """Random inputs; states of such cells are between -1 and 1."""
    rng = np.random.default_rng(0)
    return [np.clip(rng.normal(size=shape), -0.9, 0.9).astype("float32") for shape in shapes]


def invoked(path, threads):
    """A function that runs one inference on the file, whose inputs are set once."""
    interpreter = verification.open_file(str(path), threads)
    with quiet():
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()
        for each, array in zip(details, arrays([each["shape"] for each in details])):
            interpreter.set_tensor(each["index"], array)
        interpreter.invoke()
    return interpreter.invoke


def microseconds(invokes, rounds, seconds=SECONDS):
    """Of each, measured in turns."""
    times = [[] for _ in invokes]
    for _ in range(rounds):
        for invoke, seen in zip(invokes, times):
            count, before = 0, time.perf_counter()
            while time.perf_counter() - before < seconds:
                for _ in range(20):
                    invoke()
                count += 20
            seen.append(1e6 * (time.perf_counter() - before) / count)
    return [statistics.median(seen) for seen in times]


def export_all(cell, options, folder):
    """Writes the files of a cell; returns their names and paths."""
    model = streaming_model(cell, options.inputs, options.units, options.steps)
    sample = arrays([each.shape for each in model.inputs])
    files = {name: os.path.join(folder, f"{number}.tflite") for number, name in enumerate(STOCK)}
    export.export_litert(model, files["stock dense float32"], sample=sample)
    dense_int8(model, files["stock dense int8"])
    prune(model, cell, options.block, options.sparsity)
    export.export_litert(model, files["stock sparse"], sample=sample)
    export.export_litert(model, files["stock sparse int8"], weights="int8", sample=sample)
    for weights, activations in OURS:
        name = f"ours {weights}" + (" x int8" if activations == "int8" else "")
        files[name] = os.path.join(folder, f"{len(files)}.tflite")
        export.export_litert(model, files[name], "ksr", weights, activations, sample=sample)
    return files


def measured(cell, options):
    """A list of what was measured of each file, as dicts."""
    with tempfile.TemporaryDirectory() as folder:
        files = export_all(cell, options, folder)
        invokes = [invoked(path, options.threads) for path in files.values()]
        print("exported; measuring", file=sys.stderr)
        times = microseconds(invokes, options.rounds)
        sizes = [os.path.getsize(path) for path in files.values()]
    return [
        {"file": name, "bytes": size, "microseconds_per_step": one / options.steps}
        for name, size, one in zip(files, sizes, times)
    ]


def as_table(found):
    """What was measured as a Markdown table."""
    dense, int8 = (one["microseconds_per_step"] for one in found[:2])
    lines = [
        "| file | bytes | times smaller | microseconds per step | against dense float32 | "
        "against dense int8 |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        spent = one["microseconds_per_step"]
        lines.append(
            f"| {one['file']} | {one['bytes']:,} | {found[0]['bytes'] / one['bytes']:.1f} | "
            f"{spent:.2f} | {dense / spent:.1f}x | {int8 / spent:.1f}x |"
        )
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", choices=CELLS, nargs="+", default=list(CELLS))
    sizes = [("inputs", 256), ("units", 512), ("steps", 1), ("threads", 1), ("rounds", 15)]
    for name, default in sizes:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--block", type=int, nargs=2, default=(16, 16))
    parser.add_argument("--json", help="a file to write what was measured to")
    options = parser.parse_args(arguments)
    options.block = tuple(options.block)
    found = {cell: measured(cell, options) for cell in options.cells}
    for cell, files in found.items():
        print(f"{cell}\n\n{as_table(files)}\n")
    if options.json:
        asked = {key: value for key, value in vars(options).items() if key != "json"}
        result = {"machine": machine.describe(options.threads), "options": asked, "files": found}
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
