"""What is written is what is read: files, configs, clones and exports."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import INPUTS, PARENTS, TIME, inputs, twins

from keras_sparse_rnn import layers

# Keras makes NumPy 2 warn whenever it writes a variable.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def model_of(storage, cells=tuple(PARENTS)):
    stack = [keras.Input((TIME, INPUTS)), keras.layers.Masking()]
    for number, cell in enumerate(cells):
        options = {"sparsity": 0.5, "storage": storage, "bias_initializer": "ones"}
        stack.append(PARENTS[cell][1](11 + number, (4, 3), return_sequences=True, **options))
    stack.append(layers.BlockSparseDense(5, (3, 2), **options))
    return keras.Sequential(stack)


def test_saved_models_load_in_a_fresh_process(tmp_path):
    middle = [keras.layers.Dense(INPUTS, name="middle")]
    model = keras.Sequential(
        [
            keras.Input((TIME, INPUTS)),
            *model_of("packed").layers,
            *middle,
            *model_of("masked", ("gru",)).layers,
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(inputs(), np.ones((5, TIME, 5)), verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", inputs())
    np.save(tmp_path / "y.npy", model.predict(inputs(), verbose=0))
    script = """
import keras, numpy as np, keras_sparse_rnn
model = keras.models.load_model("model.keras")
assert np.array_equal(model.predict(np.load("x.npy"), verbose=0), np.load("y.npy"))
assert model.optimizer.iterations.numpy() == 1
model.fit(np.load("x.npy"), np.ones((5, 6, 5)), verbose=0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_weights_files_and_lists(storage, tmp_path):
    model, other = model_of(storage), model_of(storage)
    expected = model(inputs())
    assert np.abs(expected - other(inputs())).max() > 0.01
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(inputs()), expected)
    third = model_of(storage)
    third.set_weights(model.get_weights())
    np.testing.assert_array_equal(third(inputs()), expected)


def test_names_and_order_of_packed_weights():
    _, layer = twins("lstm")
    assert [variable.name for variable in layer.weights] == [
        "kernel_values",
        "recurrent_kernel_values",
        "bias",
        "kernel_blocks",
        "recurrent_kernel_blocks",
    ]
    assert len(layer.trainable_weights) == 3
    assert {variable.dtype for variable in layer.non_trainable_weights} == {"int32"}
    assert layer.weights[0] is layer.kernel_values and layer.weights[3] is layer.kernel_blocks
    assert (
        layer.weights[1] is layer.recurrent_kernel_values
        and layer.weights[4] is layer.recurrent_kernel_blocks
    )


@pytest.mark.parametrize("cell", PARENTS)
def test_masked_layers_have_the_weights_of_keras(cell):
    expected, layer = twins(cell, "masked", return_sequences=True)
    paths = [
        [variable.path.split("/", 1)[1] for variable in one.weights] for one in (expected, layer)
    ]
    assert paths[0] == paths[1]
    weights = [2 * weight for weight in expected.get_weights()]
    expected.set_weights(weights), layer.set_weights(weights)
    np.testing.assert_allclose(layer(inputs()), expected(inputs()), atol=1e-5)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_clones(storage):
    model = model_of(storage)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(inputs()), model(inputs()))
    again = keras.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(inputs()), model(inputs()))


@pytest.mark.parametrize(
    "storage, cells", [("packed", ("lstm", "gru")), ("masked", ("simple_rnn",))]
)
def test_the_exported_saved_model_computes_the_same(storage, cells, tmp_path):
    model = model_of(storage, cells)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    x = np.concatenate([inputs(), inputs(1)])
    np.testing.assert_allclose(served.serve(x), model(x), atol=3e-6)
