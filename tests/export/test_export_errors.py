"""What is wrong with an argument is said before anything is converted or written, in words that are
compared whole.
"""

import os

import keras
import numpy as np
import pytest
from pruned_models import randomised, snapshot

from keras_sparse_rnn import export
from keras_sparse_rnn.export import conversion, flatbuffer, litert


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((4, 3), name="features"),
        keras.layers.SimpleRNN(2, name="rnn"),
        keras.layers.Dense(2, name="out"),
    ]
    return randomised(keras.Sequential(layers, name="small"))


def message(*arguments, **options):
    with pytest.raises(ValueError) as error:
        export.export_litert(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"runtime": "gpu"}, "`runtime` must be 'builtin' or 'ksr'. Received: runtime='gpu'"),
        (
            {"weights": "bfloat16"},
            "`weights` must be 'float32' or 'int8' with runtime='builtin'; runtime='ksr' has "
            "'bfloat16'. Received: weights='bfloat16'",
        ),
        (
            {"weights": "int8", "activations": "int8"},
            "`activations` must be 'float32' with runtime='builtin'; runtime='ksr' has 'int8'. "
            "Received: activations='int8'",
        ),
        (
            {"weights": 32, "runtime": "ksr"},
            "`weights` must be one of 'float32', 'bfloat16', 'int8'. Received: weights=32",
        ),
        (
            {"activations": "bfloat16", "runtime": "ksr"},
            "`activations` must be one of 'float32', 'int8'. Received: activations='bfloat16'",
        ),
        (
            {"activations": "int8", "runtime": "ksr"},
            "`activations` must be 'float32' where weights are not int8. Received: "
            "activations='int8', weights='float32'",
        ),
        (
            {"batch_size": 0},
            "`batch_size` must be None, an integer of at least 1, or 'dynamic'. Received: "
            "batch_size=0",
        ),
        (
            {"steps": 2.5},
            "`steps` must be None, an integer of at least 1, or 'dynamic'. Received: steps=2.5",
        ),
        (
            {"steps": True},
            "`steps` must be None, an integer of at least 1, or 'dynamic'. Received: steps=True",
        ),
        ({"tolerance": 0}, "`tolerance` must be a number above 0. Received: tolerance=0"),
        (
            {"tolerance": float("nan")},
            "`tolerance` must be a number above 0. Received: tolerance=nan",
        ),
        (
            {"num_threads": 0},
            "`num_threads` must be an integer of at least 1. Received: num_threads=0",
        ),
        (
            {"sample": np.zeros((1, 5, 3))},
            "`sample` must have an array for each input of the file, features (1, 4, 3). "
            "Received: arrays of shape (1, 5, 3)",
        ),
    ],
)
def test_options(model, options, expected, tmp_path):
    assert message(model, tmp_path / "model.tflite", **options) == expected
    assert not os.listdir(tmp_path)


def test_an_open_axis_that_is_neither_batch_nor_steps(tmp_path):
    pictures = keras.Input((4, None, 3), name="pictures")
    x = keras.layers.TimeDistributed(keras.layers.GlobalAveragePooling1D())(pictures)
    model = keras.Model(pictures, keras.layers.SimpleRNN(2)(x), name="film")
    assert message(model, tmp_path / "model.tflite") == (
        "`model` must have a fixed size on every axis of its inputs but batch and steps. "
        "Received: model='film' with the input 'pictures' of shape (None, 4, None, 3)"
    )


@pytest.mark.parametrize("name, suffix", [("m.keras", ".keras"), ("m.H5", ".H5")])
def test_a_path_by_which_keras_knows_its_own_files_is_refused(model, tmp_path, name, suffix):
    path = str(tmp_path / name)
    assert message(model, path) == (
        f"`path` must not end in {suffix!r}, by which Keras knows its own files: what is written "
        "is a LiteRT file, which wants another ending, .tflite above all; `model.save` writes a "
        f"Keras file. Received: path={path!r}"
    )
    assert not os.listdir(tmp_path)


def test_paths_that_cannot_be_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        conversion, "convert", lambda *_: pytest.fail("converted before the path was checked")
    )
    missing = str(tmp_path / "missing" / "model.tflite")
    assert (
        message(model, missing)
        == f"`path` must be in a directory that exists. Received: path={missing!r}"
    )
    assert message(model, str(tmp_path)) == (
        "`path` must be the path of a file, and this is a directory. Received: "
        f"path={str(tmp_path)!r}"
    )
    assert message(model, 3.5) == "`path` must be the path of a file. Received: path=3.5"

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    path = str(tmp_path / "model.tflite")
    assert message(model, path) == (
        "`path` must be in a directory that can be written to (Permission denied). Received: "
        f"path={path!r}"
    )


def test_models_that_are_none(tmp_path):
    path = tmp_path / "model.tflite"
    assert (
        message("model", path)
        == "`model` must be a keras.Model. Received: model='model' of type str"
    )
    unbuilt = keras.Sequential([keras.layers.LSTM(3)], name="unbuilt")
    assert message(unbuilt, path) == (
        "`model` must be built: give it an Input, or call it once on data. Received: "
        "model='unbuilt', which has no weights yet"
    )
    dense = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.ReLU(), keras.layers.Dense(1)],
        name="plain",
    )
    assert message(dense, path) == (
        "`model` must have a recurrent layer (LSTM, GRU, SimpleRNN or RNN). Received: "
        "model='plain' with layers of type Dense, ReLU"
    )
    assert not os.listdir(tmp_path)


def test_an_operator_that_is_not_built_in(tmp_path):
    class Determinant(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.det(inputs)

    model = keras.Sequential(
        [keras.Input((3, 3)), keras.layers.SimpleRNN(3, return_sequences=True), Determinant()],
        name="odd",
    )
    assert message(model, tmp_path / "model.tflite") == (
        "`model` must use only operators that LiteRT has built in. Received: model='odd', whose "
        "conversion stopped at the operators MatrixDeterminant"
    )
    assert "inner_loop" not in vars(model.layers[0])
    assert not os.listdir(tmp_path)


def test_a_file_that_disagrees_is_refused_and_what_was_there_stays(model, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"what was there")
    before = snapshot(model)
    sparsify = litert.sparsify

    def break_weights(converted):
        forms = sparsify(converted)
        for tensor in converted.subgraphs[0].tensors:
            if (
                tensor.type == flatbuffer.schema().TensorType.FLOAT32
                and flatbuffer.data(converted, tensor) is not None
            ):
                data = np.array(flatbuffer.data(converted, tensor))
                data[3::4] ^= 0x80  # the sign of each weight
                converted.buffers[tensor.buffer].data = data
        return forms

    monkeypatch.setattr(litert, "sparsify", break_weights)
    text = message(model, path)
    start = (
        "`model` must give the same outputs in the file as in Keras, to a tolerance of "
        "0.0001; nothing was written. "
    )
    assert text.startswith(start + "Received: model='small', whose outputs differ by up to ")
    assert os.listdir(tmp_path) == ["model.tflite"] and path.read_bytes() == b"what was there"
    for old, new in zip(before, snapshot(model)):
        np.testing.assert_array_equal(old, new)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.SimpleRNN(2)], name="diverged")
    model.layers[0].cell.bias.assign([np.nan, 0.0])
    assert message(model, tmp_path / "model.tflite") == (
        "`model` must give the same outputs in the file as in Keras, to a tolerance of 0.0001; "
        "nothing was written. Received: model='diverged', whose outputs are not finite"
    )
    assert not os.listdir(tmp_path)


def test_a_length_that_the_model_cannot_run(tmp_path, monkeypatch):
    monkeypatch.setattr(
        conversion, "convert", lambda *_: pytest.fail("converted before the length was tried")
    )
    model = keras.Sequential(
        [keras.Input((None, 3)), keras.layers.Conv1D(4, 20), keras.layers.SimpleRNN(2)],
        name="short",
    )
    start = (
        "`steps` must be a length that the model can run; if it is open, give `sample`, "
        "inputs that the model runs on. Received: "
    )
    assert message(model, tmp_path / "model.tflite", steps=18) == (
        start
        + "steps=18, and model 'short' does not run on 18 steps: Negative dimension size caused "
        "by subtracting 20 from 18"
    )

    class Skip(keras.layers.Layer):
        def call(self, inputs):
            return inputs[:, 7:]

    model = keras.Sequential(
        [keras.Input((None, 3)), Skip(), keras.layers.SimpleRNN(2)], name="skips"
    )
    assert message(model, tmp_path / "model.tflite", steps=7) == (
        start
        + "steps=7, and model 'skips' does not run on 7 steps: slice index 0 of dimension 1 out "
        "of bounds."
    )
    x = keras.layers.Reshape((10, 3))(model.inputs[0])
    model = keras.Model(model.inputs[0], keras.layers.SimpleRNN(2)(x), name="exact")
    start += "steps=None, and model 'exact' does not run on 100, 240, 1008 steps: "
    assert message(model, tmp_path / "model.tflite").startswith(
        (
            start + "The total size of the tensor must be unchanged.",
            # before Keras 3.15 it is TensorFlow that says so
            start + "Cannot reshape a tensor with 3024 elements to shape [1,10,3] (30 elements)",
        )
    )
    assert not os.listdir(tmp_path)


def test_names_that_no_file_can_have(model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        conversion, "convert", lambda *_: pytest.fail("converted before the path was checked")
    )
    for name, reason in [("a\0b", "embedded null byte"), ("n" * 300, "File name too long")]:
        path = str(tmp_path / name)
        assert (
            message(model, path)
            == f"`path` must be a path that a file can have ({reason}). Received: path={path!r}"
        )
    missing = str(tmp_path / "file" / "model.tflite")
    (tmp_path / "file").write_bytes(b"")
    assert (
        message(model, missing)
        == f"`path` must be in a directory that exists. Received: path={missing!r}"
    )


@pytest.mark.parametrize("seed", [-1, 1.5, True, "now", None])
def test_seeds(model, seed, tmp_path):
    assert (
        message(model, tmp_path / "model.tflite", seed=seed)
        == f"`seed` must be an integer of at least 0. Received: seed={seed!r}"
    )
