"""The interpreter knows our files, whole, and says what is wrong with all others."""

import keras
import numpy as np
import pytest
from pruned_models import randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    layers = [
        keras.Input((4, 3), name="features"),
        keras.layers.SimpleRNN(2),
        keras.layers.Dense(2, name="out"),
    ]
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    export.export_litert(randomised(keras.Sequential(layers)), path)
    return path


def message(path):
    with pytest.raises(ValueError) as error:
        export.Interpreter(path)
    return str(error.value)


def start(path, size):
    return (
        f"`path` must be a file that `export_litert` wrote. Received: path={str(path)!r} of "
        f"{size} bytes, "
    )


def test_runs_by_name_and_has_what_the_stock_interpreter_has(exported):
    interpreter = export.Interpreter(exported, num_threads=2)
    assert interpreter(features=np.ones((1, 4, 3), "float32"))["out"].shape == (1, 2)
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["features"], "outputs": ["out"]}
    }
    with pytest.raises(AttributeError):
        interpreter.no_such_thing


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"features": np.zeros((1, 9, 3))}, "`features` must have the shape (1, 4, 3) for the "
         "input 'features'. Received: an array of shape (1, 9, 3)"),
        ({"features": np.zeros((4, 3))}, "`features` must have the shape (1, 4, 3) for the input "
         "'features'. Received: an array of shape (4, 3)"),
        ({"features": np.zeros((1, 4, 3), complex)}, "`features` must have numbers that float32 "
         "can hold for the input 'features'. Received: an array of complex128"),
        ({"x": np.zeros((1, 4, 3))}, "`inputs` must be a dict with the inputs ['features']. "
         "Received: ['x']"),
    ],
)  # fmt: skip
def test_inputs_that_the_file_does_not_take(inputs, says, exported):
    """The runtime says: failed to reshape runtimeNode number 8."""
    interpreter = export.Interpreter(exported)
    with pytest.raises(ValueError) as error:
        interpreter(**inputs)
    assert str(error.value) == says
    assert interpreter(features=np.ones((1, 4, 3)))["out"].shape == (1, 2)


def test_inputs_of_any_size_are_taken_where_the_file_takes_them(tmp_path):
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.GRU(3, name="h")(keras.layers.Embedding(5, 4)(tokens))
    export.export_litert(keras.Model(tokens, x), tmp_path / "m.tflite", batch_size="dynamic")
    interpreter = export.Interpreter(tmp_path / "m.tflite")
    assert interpreter(tokens=[[1, 2, 3], [3, 4, 0]])["h"].shape == (2, 3)
    with pytest.raises(ValueError) as error:
        interpreter(tokens=[[2**32 + 1]])
    assert str(error.value) == (
        "`tokens` must have numbers that int32 can hold for the input 'tokens'. Received: an array "
        "of int64"
    )
    with pytest.raises(ValueError, match=r"^`tokens` must have the shape \(None, None\) for the "):
        interpreter(tokens=[1, 2])


def test_arguments(exported):
    assert message(3) == "`path` must be the path of a file. Received: path=3"
    with pytest.raises(ValueError) as error:
        export.Interpreter(exported, num_threads=0)
    assert (
        str(error.value)
        == "`num_threads` must be an integer of at least 1. Received: num_threads=0"
    )


def test_a_missing_file(tmp_path):
    path = str(tmp_path / "model.tflite")
    assert (
        message(path)
        == f"`path` must be a file that `export_litert` wrote. Received: path={path!r}, which is "
        "not a file"
    )


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not a model at all"])
def test_a_file_of_another_kind(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert (
        message(path)
        == start(path, len(content))
        + "which is not a LiteRT file (its bytes 4 to 7 are not 'TFL3')"
    )


def test_a_file_cut_short_anywhere(exported, tmp_path):
    whole = exported.read_bytes()
    path = tmp_path / "model.tflite"
    for size in range(8, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        text = message(path)
        assert text.startswith(start(path, size) + "which ") and "\n" not in text
    path.write_bytes(whole + b"....")
    damaged = f"which is cut short or damaged: it was written with {len(whole)} bytes"
    assert message(path) == start(path, len(whole) + 4) + damaged


def test_a_lite_rt_file_of_somebody_else(exported, tmp_path):
    model = flatbuffer.unpack(exported.read_bytes())
    model.metadata = []
    content = flatbuffer.pack(model)
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert (
        message(path)
        == start(path, len(content)) + "which has no 'keras_sparse_rnn' entry in its metadata"
    )
