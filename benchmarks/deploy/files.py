"""Writes the files of a case: what every road opens, and what it should give."""

import contextlib
import os
import pathlib
import shutil
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from benchmarks.deploy.roads import BLOCK, FRAMES, SPARSITY
from keras_sparse_rnn.export import conversion
from keras_sparse_rnn.export.quiet import quiet

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
PROGRAM = pathlib.Path(__file__).with_name("program.c")


def write(case, folder):
    """Exports a case in every way into `folder`, and writes the frames and the outputs of Keras,
    dense and sparse, raw float32. ONNX's files are made from `weights.npz`.
    """
    keras.utils.set_random_seed(0)
    layer = LAYERS[case.cell](case.units, return_sequences=True, name="y")
    model = keras.Sequential([keras.Input((None, case.inputs), name="x"), layer])
    rng = np.random.default_rng(0)
    layer.cell.bias.assign(rng.uniform(-0.1, 0.1, layer.cell.bias.shape))
    x = rng.uniform(-1, 1, (1, FRAMES, case.inputs)).astype("float32")
    x.tofile(folder / "frames.f32")
    for form in ("dense", "sparse"):
        if form == "sparse":
            ksr.prune(model, SPARSITY, block_shape=BLOCK)
        model.predict_on_batch(x).tofile(folder / f"{form}.f32")
        ksr.export_litert(model, folder / f"{form}.tflite", streaming=True)
        if form == "dense":
            names = ("kernel", "recurrent_kernel", "bias")
            arrays = {name: getattr(layer.cell, name).numpy() for name in names}
            np.savez(folder / "weights.npz", cell=case.cell, **arrays)
            dense_int8(case, layer, folder / "dense-int8.tflite")
    ksr.export_litert(model, folder / "sparse-int8.tflite", streaming=True, weights="int8")
    for name, *types in [("", "float32"), ("-bfloat16", "bfloat16"), ("-int8", "int8", "int8")]:
        ksr.export_litert(model, folder / f"ours{name}.tflite", "ksr", *types, streaming=True)
    for name, precision in [("c", "float32"), ("c-int8", "int8")]:
        with without_compiler():  # the program that is measured is built below
            ksr.export_c(model, folder / name, precision, precision)


def dense_int8(case, layer, path):
    """What TensorFlow's converter makes of one step of the dense layer with its default
    optimisation: int8 weights with a scale for each output, inputs rounded as they come.
    """
    names = ("h", "c") if case.cell == "lstm" else ("h",)
    x = keras.Input((1, case.inputs), batch_size=1, name="x")
    states = [keras.Input((case.units,), batch_size=1, name=name) for name in names]
    step = type(layer)(case.units, return_sequences=True, return_state=True)
    model = keras.Model([x, *states], step(x, initial_state=states))
    step.set_weights(layer.get_weights())
    shapes = [tf.TensorSpec(each.shape, name=each.name) for each in model.inputs]

    @tf.autograph.experimental.do_not_convert
    def forward(*inputs):
        return dict(zip(("y", *names), conversion.call(model, model.inputs, inputs)))

    with conversion.exportable(model):
        module = tf.Module()
        module.forward = tf.function(forward, input_signature=shapes)
        traced = module.forward.get_concrete_function()
    module.forward = traced
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet():
        path.write_bytes(converter.convert())


def build(folder, compiler="cc", flags=""):
    """Builds the measuring program in an exported folder. Returns its path."""
    shutil.copy(PROGRAM, folder / "main.c")
    settings = {**os.environ, "CC": compiler, "LDFLAGS": flags}
    subprocess.run(["sh", "build.sh"], cwd=folder, env=settings, check=True, capture_output=True)
    return folder / "model"


@contextlib.contextmanager
def without_compiler():
    """Lets `export_c` find none."""
    before = os.environ.get("CC")
    os.environ["CC"] = "/nonexistent/cc"
    try:
        yield
    finally:
        del os.environ["CC"]
        if before is not None:
            os.environ["CC"] = before
