"""Layers of int8 weights and int8 activations: what they compute, save and refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import INPUTS, PARENTS, TIME, inputs, random_mask

from keras_sparse_rnn import layers, ops

# Keras makes NumPy 2 warn whenever it writes a variable.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
INT8 = {"weights": "int8", "activations": "int8"}
cells = pytest.mark.parametrize("cell", PARENTS)


def built(cell, units=19, block_shape=(3, 8), **arguments):
    layer = PARENTS[cell][1](units, block_shape, sparsity=0.5, **INT8, **arguments)
    layer.build((None, TIME, INPUTS))
    return layer


def packed(layer, name):
    values, blocks, scales = (
        getattr(layer.cell, f"{name}_{part}") for part in ("values", "blocks", "scales")
    )
    grid = layer.grids[name == "recurrent_kernel"]
    return ops.PackedKernel(values.numpy(), blocks.numpy(), grid, scales.numpy())


@cells
@pytest.mark.parametrize("input_range", [0.0, 2.0])
def test_a_layer_computes_what_the_op_does(cell, input_range):
    layer = built(cell, return_sequences=True, go_backwards=True, input_range=input_range)
    x, mask = inputs(), random_mask()
    kernels = [packed(layer, name) for name in ("kernel", "recurrent_kernel")]
    states = [tf.zeros((len(x), 19))] * (2 if cell == "lstm" else 1)
    expected = getattr(ops, f"block_sparse_{cell}")(
        x,
        *states,
        *kernels,
        layer.bias.numpy(),
        mask=mask,
        go_backwards=True,
        activations="int8",
        input_range=input_range,
    )
    received = layer(x, mask=tf.constant(mask))
    np.testing.assert_array_equal(received, expected[0])
    assert np.abs(received).max() > 0.05


@cells
def test_outputs_are_near_those_of_float_activations(cell):
    layer = built(cell, return_sequences=True)
    arguments = {**layer.get_config(), "activations": "float32"}
    other = type(layer).from_config(arguments)
    other.build((None, TIME, INPUTS))
    other.set_weights(layer.get_weights())
    expected = other(inputs()).numpy()
    error = np.abs(layer(inputs()) - expected).max()
    assert 0 < error < 0.03 * np.abs(expected).max()


def test_dense_rounds_its_inputs():
    layer = layers.BlockSparseDense(5, (3, 2), sparsity=0.5, activation="relu", **INT8)
    x = inputs()
    layer.build(x.shape)
    kernel = ops.PackedKernel(
        layer.kernel_values.numpy(),
        layer.kernel_blocks.numpy(),
        layer.grids[0],
        layer.kernel_scales.numpy(),
    )
    product = ops.block_sparse_matmul(x, kernel, activations="int8")
    np.testing.assert_array_equal(layer(x), tf.nn.relu(product + layer.bias))
    assert np.abs(product - x @ layer.dense_kernels()[0]).max() > 1e-5


def model_of(**arguments):
    stack = [keras.Input((TIME, INPUTS))]
    for number, cell in enumerate(PARENTS):
        stack.append(
            PARENTS[cell][1](
                11 + number, (3, 3), return_sequences=True, sparsity=0.5, **INT8, **arguments
            )
        )
    return keras.Sequential(
        [*stack, layers.BlockSparseDense(5, (3, 2), sparsity=0.5, **INT8, **arguments)]
    )


def test_round_trips(tmp_path):
    model = model_of(input_range=1.25)
    expected = model(inputs())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs()), expected)
    for layer in loaded.layers:
        assert (layer.activations_choice, layer.input_range) == ("int8", 1.25)
    model.save_weights(tmp_path / "model.weights.h5")
    other = model_of(input_range=1.25)
    assert np.abs(expected - other(inputs())).max() > 0.01
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(inputs()), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(inputs()), expected)


def test_predicts_and_exports(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((TIME, INPUTS)),
            layers.BlockSparseSimpleRNN(8, (4, 4), **INT8),
            layers.BlockSparseDense(5, (4, 5), **INT8),
        ]
    )
    expected = model(inputs())
    np.testing.assert_allclose(model.predict(inputs(), verbose=0), expected, atol=0.02)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(inputs()), expected, atol=0.02)


def test_a_float64_layer_rounds_in_float64():
    layer = built("gru", dtype="float64")
    assert layer(inputs().astype("float64")).dtype == "float64"


def test_compiles_with_xla():
    model = keras.Sequential(
        [keras.Input((TIME, INPUTS)), layers.BlockSparseGRU(8, (4, 4), kernel="reference", **INT8)]
    )
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(inputs()), model(inputs()), atol=0.02)


def test_weights_of_a_layer_that_rounds_weights_alone_are_refused():
    """Two of them may be too large together; `substitute` makes others."""
    what_to_do = "must be quantised for int8 activations"
    layer = layers.BlockSparseSimpleRNN(32, (8, 8), weights="int8")
    layer.build((None, TIME, INPUTS))
    for kernel in ("auto", "reference"):
        other = layers.BlockSparseSimpleRNN(32, (8, 8), kernel=kernel, **INT8)
        other.build((None, TIME, INPUTS))
        other.set_weights(layer.get_weights())
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as error:
            other(inputs())
        assert what_to_do in str(error.value)


@pytest.mark.parametrize("twin", [layers.BlockSparseLSTM, layers.BlockSparseDense])
def test_bad_arguments(twin):
    for arguments, message in (
        (
            {"activations": "int4"},
            "`activations` must be one of 'float32', 'int8'. Received: activations='int4'",
        ),
        (
            {"activations": "int8", "weights": "bfloat16"},
            '`activations` must be "float32" where weights are not int8, for integers are '
            "multiplied with integers. Received: activations='int8', weights='bfloat16'",
        ),
        (
            {"weights": "int8", "input_range": 1.0},
            '`input_range` must be 0 without `activations="int8"`, for inputs are not rounded '
            "then. Received: input_range=1.0, activations='float32'",
        ),
        (
            {**INT8, "input_range": -1.0},
            "`input_range` must be the largest input in absolute value, a number from 1e-30 to "
            "1e+30; or 0, for that of each step. Received: input_range=-1.0",
        ),
    ):
        with pytest.raises(ValueError) as error:
            twin(16, **arguments)
        assert str(error.value) == message


@pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")
@pytest.mark.parametrize("input_range", [0.0, 2.0])
def test_the_native_dense_layer_computes_what_the_reference_does(input_range):
    how = {"sparsity": 0.5, "input_range": input_range, **INT8}
    native = layers.BlockSparseDense(5, (3, 2), kernel="native", **how)
    reference = layers.BlockSparseDense(5, (3, 2), kernel="reference", **how)
    x = inputs()
    for layer in (native, reference):
        layer.build(x.shape)
    reference.set_weights(native.get_weights())
    np.testing.assert_allclose(native(x), reference(x), rtol=1e-6, atol=1e-6)
