"""Operations between layers, and what is clipped, in models that `export_c` writes."""

import re

import keras
import numpy as np
import pytest
from exported_models import randomised, sequential

import ksr_runtime
from keras_sparse_rnn.export import export_c

K = keras.layers
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """Without one an export takes no seconds, and is run in `ksr_runtime` alone."""
    monkeypatch.setenv("CC", "/nonexistent/cc")


OPERATIONS = {
    "highway": lambda x, y: x * K.Activation("sigmoid")(y) + y * (1 - K.Activation("sigmoid")(y)),
    "numbers": lambda x, y: (2 * x - 0.5) / 3 + (-y - 1.0) + y / np.arange(1.0, 5.0) * 0.25,
    "arrays": lambda x, y: x + np.array([[[1.0, 2.0, 3.0, 4.0]]]) - np.array([0.5]) - y,
    "functions": lambda x, y: keras.ops.tanh(x) + keras.ops.sigmoid(y) + keras.ops.relu(x - y),
    "more functions": lambda x, y: keras.ops.softmax(x) + keras.ops.silu(
        y) + keras.ops.hard_sigmoid(x),
    "layers": lambda x, y: K.Average()([K.Subtract()([x, y]), x, y]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_say_what_they_say_in_keras(name, tmp_path):
    x = keras.Input((None, 6))
    one, two = (K.Dense(4)(x) for _ in range(2))
    model = randomised(keras.Model(x, OPERATIONS[name](one, two)))
    export_c(model, tmp_path / "c")
    sequence = RNG.normal(size=(1, 5, 6)).astype("float32")
    result = ksr_runtime.Model(tmp_path / "c" / "model.ksr").run(sequence)
    np.testing.assert_allclose(result, np.asarray(model(sequence)), atol=1e-5)


def test_infinite_numbers_are_clipped_as_in_keras(tmp_path):
    chain = [K.ReLU(6.0), K.Activation("hard_tanh"), K.LeakyReLU(0.1), K.Activation("leaky_relu")]
    x = np.array([[[np.inf, -np.inf, 1e30, -1e30, 0.0, np.nan]]], "float32")
    for number, layer in enumerate(chain):
        model = sequential(layer)
        export_c(model, tmp_path / str(number))
        result = ksr_runtime.Model(tmp_path / str(number) / "model.ksr").run(x)
        np.testing.assert_allclose(result, np.asarray(model(x)), rtol=1e-6)


REFUSED = {
    "1 / x": (lambda x: 1.0 / x, "it divides by a tensor; multiply by what a layer gives"),
    "x / y": (lambda x: x / K.Dense(4)(x), "it divides by a tensor; multiply by what a layer"),
    "steps": (lambda x: x + np.ones((5, 4)), "it has an array of shape (5, 4) beside frames of 4"),
    "broadcast": (
        lambda x: x * K.Dense(1)(x),
        "its inputs have [4, 1] numbers in a frame; give them the same",
    ),
    "axis": (lambda x: keras.ops.softmax(x, axis=1), "it has axis=1; use axis=-1"),
    "unknown": (
        lambda x: keras.ops.exp(x),
        "it is not among the operations that are known here: Add, Divide, HardSigmoid",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operations_that_no_step_does_are_refused(name, tmp_path):
    operation, says = REFUSED[name]
    x = keras.Input((5, 4))
    with pytest.raises(ValueError, match=re.escape(says)):
        export_c(keras.Model(x, operation(x)), tmp_path / "c")
    assert not list(tmp_path.iterdir())
