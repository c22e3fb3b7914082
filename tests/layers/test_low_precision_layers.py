"""Layers that compute and train at few bits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr
from keras_sparse_rnn import layers
from keras_sparse_rnn.quantization import LowPrecision

INPUTS, UNITS = 13, 17
LAYERS = {
    layers.BlockSparseLSTM: {},
    layers.BlockSparseGRU: {"reset_after": False},
    layers.BlockSparseSimpleRNN: {},
    layers.BlockSparseDense: {},
}
PARENTS = {
    layers.BlockSparseLSTM: keras.layers.LSTM,
    layers.BlockSparseGRU: keras.layers.GRU,
    layers.BlockSparseSimpleRNN: keras.layers.SimpleRNN,
    layers.BlockSparseDense: keras.layers.Dense,
}


def made(kind, low, **arguments):
    keras.utils.set_random_seed(1)
    layer = kind(UNITS, (4, 3), sparsity=0.5, low_precision=low, **{**LAYERS[kind], **arguments})
    layer.build((None, 5, INPUTS) if kind is not layers.BlockSparseDense else (None, INPUTS))
    rng = np.random.default_rng(0)
    (bias,) = [weight for weight in layer.weights if weight.path.endswith("bias")]
    bias.assign(rng.normal(size=bias.shape))
    return layer


def data(kind):
    shape = (3, INPUTS) if kind is layers.BlockSparseDense else (3, 5, INPUTS)
    return np.random.default_rng(2).normal(size=shape).astype("float32")


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_computes_with_its_rounded_weights(kind, storage):
    layer = made(kind, LowPrecision(2), storage=storage)
    kernels = layer.dense_kernels()
    for kernel in kernels:
        for column in kernel.T:
            values = set(np.abs(column[column != 0]))
            assert len(values) <= 1  # minus one, zero and one, times the scale of the output
    twin = PARENTS[kind](UNITS, **LAYERS[kind])
    x = data(kind)
    twin.build(x.shape)
    bias = layer.bias if kind is layers.BlockSparseDense else layer.cell.bias
    twin.set_weights([*kernels, bias])
    np.testing.assert_allclose(layer(x), twin(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation_bits", [None, 3])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.quick_cases(3)
def test_the_gradient_of_a_layer_is_that_of_the_steps_one_by_one(kind, activation_bits):
    low = LowPrecision(3, activation_bits)
    layer = made(kind, low, storage="masked")
    x = tf.constant(data(kind))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        expected = step_by_step(layer, x)
        losses = [tf.reduce_sum(tf.sin(3 * one)) for one in (outputs, expected)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    for source in (x, *layer.trainable_weights):
        received, right = (tape.gradient(loss, source) for loss in losses)
        live = np.ones(source.shape, bool) if source is x or "bias" in source.path else source != 0
        np.testing.assert_allclose(received * live, right * live, rtol=2e-3, atol=2e-4)
    assert any(np.any(tape.gradient(losses[0], one)) for one in layer.trainable_weights[:1])


def step_by_step(layer, x):
    """What a layer computes, from its variables, with a matrix product for each step."""
    low = layer.low_precision
    owner = getattr(layer, "cell", layer)
    names = ["kernel", "recurrent_kernel"][: len(layer.grids)]
    kernels = []
    for name, grid in zip(names, layer.grids):
        blocks = np.arange(grid.count, dtype=np.int32)
        packed = ksr.ops.pack(tf.convert_to_tensor(getattr(owner, name)), blocks, grid)
        packed = low.kernel(ksr.ops.PackedKernel(packed, blocks, grid))
        kernels.append(ksr.ops.unpack(packed.values, blocks, grid))
    rounded = low.inputs if low.activation_bits else lambda values: values
    if len(kernels) == 1:
        return rounded(x) @ kernels[0] + owner.bias
    w, u = kernels
    h = c = tf.zeros((x.shape[0], UNITS))
    for step in tf.unstack(x, axis=1):
        z = rounded(step) @ w + owner.bias
        if isinstance(layer, layers.BlockSparseLSTM):
            i, f, g, o = tf.split(z + rounded(h) @ u, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
        elif isinstance(layer, layers.BlockSparseGRU):
            inner = rounded(h) @ u[:, : 2 * UNITS]
            update, reset = tf.split(tf.sigmoid(z[:, : 2 * UNITS] + inner), 2, axis=1)
            new = tf.tanh(z[:, 2 * UNITS :] + rounded(reset * h) @ u[:, 2 * UNITS :])
            h = update * h + (1 - update) * new
        else:
            h = tf.tanh(z + rounded(h) @ u)
    return h


def test_left_out_blocks_come_back():
    layer = made(layers.BlockSparseDense, LowPrecision(4, sparsity=0.8), storage="masked")
    layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape))
    before = layer.dense_kernels()[0] != 0
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(data(layers.BlockSparseDense)) ** 2)
    gradient = tape.gradient(loss, layer.kernel)
    kept = np.any(before, axis=0)  # an output without a weight has no gradient either
    assert np.all(np.any(gradient != 0, axis=0) == kept) and not np.all(before == (gradient != 0))
    layer.kernel.assign_sub(0.5 * gradient)
    after = layer.dense_kernels()[0] != 0
    assert np.any(after & ~before) and abs(after.mean() - before.mean()) < 0.1


def test_a_model_is_saved_and_loaded_and_trains_on(tmp_path):
    keras.utils.set_random_seed(0)
    low = LowPrecision(2, form="affine", ridge=0.5)
    inner = layers.BlockSparseGRU(16, (4, 4), storage="masked", low_precision=low)
    stack = [keras.Input((4, 8)), keras.layers.Bidirectional(inner), keras.layers.Dense(2)]
    model = keras.Sequential(stack)
    x = np.random.default_rng(0).normal(size=(8, 4, 8)).astype("float32")
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(x, x[:, 0, :2], verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].backward_layer.low_precision == low
    np.testing.assert_array_equal(again(x), model(x))
    again.compile("sgd", "mse", run_eagerly=True)
    before = again.layers[0].forward_layer.cell.kernel.numpy()
    again.fit(x, x[:, 0, :2], verbose=0)
    assert np.any(again.layers[0].forward_layer.cell.kernel != before)


def test_a_config_names_nothing_else():
    config = layers.BlockSparseGRU(16, low_precision=LowPrecision(4)).get_config()
    config["low_precision"] = keras.saving.serialize_keras_object(keras.layers.Dense(1))
    with pytest.raises(ValueError) as error:
        layers.BlockSparseGRU.from_config(config)
    assert str(error.value) == (
        "`low_precision` in a config must be a LowPrecision of keras_sparse_rnn, or one of your "
        "own that is registered with keras.saving.register_keras_serializable. Received: "
        "registered_name='Dense'"
    )
