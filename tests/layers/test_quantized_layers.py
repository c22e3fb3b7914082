"""Layers whose packed kernels are bfloat16 or int8: what they own, compute, save and refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import BATCH, INPUTS, KERNELS, PARENTS, TIME, inputs, twins

from keras_sparse_rnn import layers, ops

# Keras makes NumPy 2 warn whenever it writes a variable.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
types = pytest.mark.parametrize("weights", ["bfloat16", "int8"])
BYTES = {"bfloat16": 2, "int8": 1}


def quantized_twins(cell, weights, kernel="auto", **arguments):
    """A Keras layer and a quantised layer of the weights that quantising gives it: dequantised, the
    Keras layer has the same.
    """
    expected, float_layer = twins(cell, kernel=kernel, **arguments)
    layer = type(float_layer).from_config({**float_layer.get_config(), "weights": weights})
    layer.build((BATCH, TIME, INPUTS))
    layer.bias.assign(expected.cell.bias)
    for name, grid in zip(("kernel", "recurrent_kernel"), layer.grids):
        dense = getattr(expected.cell, name)
        values, blocks = grid.pack(dense.numpy())
        packed = ops.quantize(ops.PackedKernel(values, blocks, grid), weights)
        getattr(layer.cell, f"{name}_values").assign(packed.values)
        getattr(layer.cell, f"{name}_blocks").assign(blocks)
        if weights == "int8":
            getattr(layer.cell, f"{name}_scales").assign(packed.scales)
        dense.assign(grid.unpack(ops.dequantize(packed).values.numpy(), blocks))
    return expected, layer


@types
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", PARENTS)
def test_computes_with_the_dequantised_weights(cell, kernel, weights):
    expected, layer = quantized_twins(cell, weights, kernel, return_sequences=True)
    np.testing.assert_allclose(layer(inputs()), expected(inputs()), atol=3e-6)
    for one, other in zip(
        layer.dense_kernels(), (expected.cell.kernel, expected.cell.recurrent_kernel)
    ):
        np.testing.assert_array_equal(one, other.numpy())


@types
def test_variables(weights):
    layer = layers.BlockSparseGRU(19, (4, 8), sparsity=0.5, weights=weights)
    layer.build((5, TIME, 7))
    names = [variable.name for variable in layer.trainable_weights]
    assert names == ["bias"]
    assert layer.kernel_values.dtype == layer.recurrent_kernel_values.dtype == weights
    assert hasattr(layer.cell, "kernel_scales") == (weights == "int8")
    assert len(layer.non_trainable_weights) == (6 if weights == "int8" else 4)
    assert np.abs(layer.dense_kernels()[0]).max() > 0.1


def model_of(weights):
    stack = [keras.Input((TIME, 7))]
    for number, cell in enumerate(PARENTS):
        stack.append(
            PARENTS[cell][1](
                11 + number, (4, 3), return_sequences=True, sparsity=0.5, weights=weights
            )
        )
    return keras.Sequential(
        [*stack, layers.BlockSparseDense(5, (3, 2), sparsity=0.5, weights=weights)]
    )


@types
def test_round_trips(weights, tmp_path):
    model = model_of(weights)
    expected = model(inputs())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs()), expected)
    assert [layer.weights_choice for layer in loaded.layers] == [weights] * 4
    model.save_weights(tmp_path / "model.weights.h5")
    other = model_of(weights)
    assert np.abs(expected - other(inputs())).max() > 0.01
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(inputs()), expected)
    again = keras.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(inputs()), expected)


@types
def test_exported(weights, tmp_path):
    model = model_of(weights)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(inputs()), model(inputs()), atol=3e-6)


@types
def test_predicts_under_mixed_precision(weights):
    keras.utils.set_random_seed(0)
    layer = layers.BlockSparseLSTM(
        16, (4, 4), sparsity=0.5, weights=weights, dtype="mixed_bfloat16"
    )
    assert (
        layer(inputs()).dtype == "bfloat16"
        and np.isfinite(np.asarray(layer(inputs()), "float32")).all()
    )


@types
def test_training_says_what_to_do(weights):
    model = keras.Sequential(
        [
            keras.Input((TIME, 7)),
            layers.BlockSparseLSTM(8, (4, 4), weights=weights),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(
        LookupError, match="Train the model with float32 weights and quantise it afterwards"
    ):
        model.fit(inputs(), np.ones((5, 1)), verbose=0)


def test_frozen_layers_let_others_train():
    model = keras.Sequential(
        [
            keras.Input((TIME, 7)),
            layers.BlockSparseLSTM(8, (4, 4), weights="int8"),
            keras.layers.Dense(1),
        ]
    )
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.layers[1].kernel.numpy()
    model.fit(inputs(), np.ones((5, 1)), verbose=0)
    assert np.abs(model.layers[1].kernel.numpy() - before).max() > 0


@pytest.mark.parametrize("twin", [layers.BlockSparseLSTM, layers.BlockSparseDense])
def test_bad_arguments(twin):
    with pytest.raises(
        ValueError,
        match="`weights` must be one of 'float32', 'bfloat16', 'int8'. Received: weights='int4'",
    ):
        twin(16, weights="int4")
    with pytest.raises(
        ValueError,
        match=(
            "quantised kernels are packed and cannot be trained. Received: weights='int8', "
            "storage='masked'"
        ),
    ):
        twin(16, storage="masked", weights="int8")
