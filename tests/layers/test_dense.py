"""BlockSparseDense against keras.layers.Dense."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import KERNELS, random_weights

from keras_sparse_rnn.layers import BlockSparseDense
from keras_sparse_rnn.patterns import BlockGrid

INPUTS, UNITS = 13, 17


def dense_twins(storage, kernel, **arguments):
    grid = BlockGrid(INPUTS, UNITS, 1, (4, 5))
    (dense,), bias = random_weights([grid], (UNITS,) if arguments.get("use_bias", True) else None)
    expected = keras.layers.Dense(UNITS, **arguments)
    expected.build((None, INPUTS))
    expected.set_weights([dense] + ([] if bias is None else [bias]))
    live = (int(grid.live(dense).sum()),) if storage == "packed" else None
    layer = BlockSparseDense(
        UNITS, (4, 5), storage=storage, kernel=kernel, live_blocks=live, **arguments
    )
    layer.build((None, INPUTS))
    if storage == "packed":
        values, blocks = grid.pack(dense)
        layer.set_weights([values, *([] if bias is None else [bias]), blocks])
    else:
        layer.set_weights(expected.get_weights())
    return expected, layer


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"activation": "softmax"},
        {"use_bias": False, "activation": lambda x: x * x},
        {"dtype": "mixed_float16"},
    ],
)
def test_outputs_and_gradients(arguments, storage, kernel):
    expected, layer = dense_twins(storage, kernel, **arguments)
    tolerance = 1e-2 if "dtype" in arguments else 5e-6
    for shape in ((6, INPUTS), (2, 3, INPUTS), (2, 3, 2, INPUTS)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        weight = np.random.default_rng(1).normal(size=(*shape[:-1], UNITS)).astype("float32")
        results = []
        for one in (expected, layer):
            source = tf.constant(x)
            with tf.GradientTape() as tape:
                tape.watch(source)
                outputs = one(source)
                loss = tf.reduce_sum(tf.cast(outputs, "float32") * weight)
            gradients = tape.gradient(loss, [source] + [v.value for v in one.trainable_variables])
            results.append([outputs, *map(tf.convert_to_tensor, gradients)])
        (wanted, wanted_x, wanted_kernel, *wanted_bias), (outputs, by_x, by_kernel, *by_bias) = (
            results
        )
        assert outputs.dtype == wanted.dtype
        grid, alive = layer.grids[0], layer.dense_kernels()[0] != 0
        wanted_kernel = wanted_kernel.numpy() * grid.expand(grid.live(alive))
        if storage == "packed":
            wanted_kernel = grid.pack(wanted_kernel, layer.kernel_blocks.numpy())[0]
        pairs = [
            (outputs, wanted),
            (by_x, wanted_x),
            (by_kernel, wanted_kernel),
            *zip(by_bias, wanted_bias, strict=True),
        ]
        for received, asked in pairs:
            scale = max(1.0, np.abs(asked).max())
            np.testing.assert_allclose(
                np.float32(received), np.float32(asked), rtol=0, atol=tolerance * scale
            )


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_masks_and_losses_pass_through(storage):
    expected, layer = dense_twins(
        storage, "auto", kernel_regularizer="l2", activity_regularizer="l1"
    )
    x = keras.layers.Masking()(np.eye(INPUTS, dtype="float32")[None] * (np.arange(INPUTS) > 2))
    expected(x), layer(x)
    assert keras.layers.Masking().compute_mask(x) is not None
    np.testing.assert_allclose(sorted(layer.losses), sorted(expected.losses), rtol=1e-5)


def test_trains_in_half_precision_under_loss_scaling():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((INPUTS,)), BlockSparseDense(8, (4, 4), sparsity=0.5, dtype="mixed_float16")]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = np.random.default_rng(0).normal(size=(64, INPUTS))
    losses = model.fit(x, x[:, :8], epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
