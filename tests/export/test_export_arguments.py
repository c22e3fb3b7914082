"""What an export accepts besides the plain case: NumPy's numbers, other precisions, models that
need long sequences; and that it is silent.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest
from pruned_models import randomised, snapshot

from keras_sparse_rnn import export, layers


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def test_numpy_numbers_are_numbers(tmp_path):
    model = randomised(
        keras.Sequential([keras.Input((None, 3), name="features"), keras.layers.SimpleRNN(2)])
    )
    numbers = {
        "batch_size": np.int32(2),
        "steps": np.int64(5),
        "num_threads": np.uint8(1),
        "seed": np.int64(3),
    }
    summary = export.export_litert(
        model, tmp_path / "model.tflite", tolerance=np.float32(1e-4), **numbers
    )
    assert summary.timed == "one inference of 5 steps, batch 2, 1 thread"
    assert export.Interpreter(summary.path, num_threads=np.int64(1))(
        features=np.ones((2, 5, 3), "float32")
    )


DOUBLE = {
    "plain": lambda: [keras.Input((5, 4)), keras.layers.LSTM(8), keras.layers.Dense(2)],
    "input too": lambda: [
        keras.Input((5, 4), dtype="float64"),
        keras.layers.GRU(8),
        keras.layers.LayerNormalization(),
    ],
    "stateful": lambda: [
        keras.Input((5, 4), batch_size=1),
        keras.layers.SimpleRNN(8, stateful=True),
        keras.layers.Dense(2),
    ],
    "Keras's own loop": lambda: [
        keras.Input((5, 4)),
        keras.layers.RNN(keras.layers.LSTMCell(8)),
        keras.layers.Dense(2),
    ],
    "block-sparse": lambda: [
        keras.Input((5, 4)),
        layers.BlockSparseLSTM(8, (4, 4), sparsity=0.5),
        layers.BlockSparseDense(4, (4, 4), sparsity=0.5),
    ],
}


@pytest.fixture
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.parametrize("case", DOUBLE)
@pytest.mark.quick_cases
def test_a_model_of_float64_is_exported_in_float32(case, float64, tmp_path):
    model = randomised(keras.Sequential(DOUBLE[case]()))
    before = snapshot(model)
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path).largest_error < 1e-5
    (details,) = export.Interpreter(path).get_input_details()
    assert details["dtype"] == np.float32
    features = np.random.default_rng(0).normal(size=(1, 5, 4))
    received = export.Interpreter(path)(**{model.inputs[0].name: features.astype("float32")})
    np.testing.assert_allclose(*received.values(), np.asarray(model(features)), atol=1e-5)
    for layer in model.layers:
        assert layer.dtype_policy.name == "float64" and layer.compute_dtype == "float64"
    assert keras.config.floatx() == "float64"
    if case != "stateful":
        for old, new in zip(before, snapshot(model)):
            np.testing.assert_array_equal(old, new)
            assert old.dtype == new.dtype


@pytest.mark.parametrize("least, timed", [(14, 100), (20, 100), (101, 240)])
@pytest.mark.quick_cases
def test_open_steps_of_a_model_that_needs_some(least, timed, tmp_path):
    model = randomised(
        keras.Sequential(
            [
                keras.Input((None, 4), name="features"),
                keras.layers.Conv1D(4, least),
                keras.layers.LSTM(8),
            ]
        )
    )
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path)
    assert summary.largest_error < 1e-5
    assert summary.timed == f"one inference of {timed} steps, batch 1, 1 thread"
    features = np.random.default_rng(0).normal(size=(1, least + 7, 4)).astype("float32")
    (received,) = export.Interpreter(path)(features=features).values()
    np.testing.assert_allclose(received, np.asarray(model(features)), atol=1e-5)


SILENT = """
import inspect, sys
import keras
import numpy as np
from keras_sparse_rnn import export, layers

def no_source(*_):
    raise OSError("the source is gone")

features = keras.Input((None, 3), name="features")
x = layers.BlockSparseLSTM(4, (2, 2), sparsity=0.5, return_sequences=True)(features)
model = keras.Model(features, keras.layers.Dense(2)(keras.layers.RNN(keras.layers.GRUCell(3))(x)))
model(np.ones((1, 4, 3), "float32"))
inspect.getsource = inspect.findsource = no_source
for stream in (sys.stdout, sys.stderr):
    print("HERE", file=stream, flush=True)
path = sys.argv[1]
export.export_litert(model, path, steps=7)
export.Interpreter(path)(features=np.ones((1, 7, 3), "float32"))
"""


def test_an_export_prints_nothing(tmp_path):
    """Not even where TensorFlow cannot read the source that it would convert: a file that was
    edited since, or never written.
    """
    command = [sys.executable, "-c", SILENT, str(tmp_path / "model.tflite")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert [stream.split("HERE\n")[1] for stream in (ended.stdout, ended.stderr)] == ["", ""]


def test_trying_a_length_leaves_states_alone(tmp_path):
    layer = layers.BlockSparseGRU(4, (2, 2), sparsity=0.5, stateful=True)
    model = keras.Sequential([keras.Input((None, 3), batch_size=1), layer])
    model(np.ones((1, 2, 3), "float32"))
    before = layer.states[0].numpy().copy()
    for steps in (3, None):
        assert (
            export.export_litert(model, tmp_path / "model.tflite", steps=steps).largest_error < 1e-5
        )
    np.testing.assert_array_equal(before, layer.states[0].numpy())
    assert np.any(
        np.asarray(model(np.ones((1, 2, 3), "float32"))) != before
    )  # no tensor of a trace is left in the layer
