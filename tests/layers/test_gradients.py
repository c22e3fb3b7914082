"""Gradients against those of the Keras layer: the same for live weights, none for dead ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import (
    INPUTS,
    KERNELS,
    UNITS,
    initial_state,
    inputs,
    random_mask,
    set_dense_weights,
    twins,
)

from keras_sparse_rnn.layers import storage

CELLS = [("lstm", {}), ("gru", {}), ("gru", {"reset_after": False}), ("simple_rnn", {})]
# What Keras's layers, which have the same weights for every storage and kernel, have as gradients.
_OF_KERAS = {}


def gradients(layer, mask):
    """Of a random projection of all outputs, in the inputs, the initial states and the trainable
    weights.
    """
    x, states = tf.constant(inputs()), [tf.constant(state) for state in initial_state(layer)]
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        outputs = layer(x, mask=mask, initial_state=states)
        generator = np.random.default_rng(5)
        loss = sum(
            tf.reduce_sum(out * generator.normal(size=out.shape).astype("float32"))
            for out in outputs
        )
    sources = [x, *states, *(variable.value for variable in layer.trainable_variables)]
    return [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, sources)]


def dense_mask(layer):
    return [kernel != 0 for kernel in layer.dense_kernels()]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("cell, options", CELLS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.quick_cases(12)
def test_gradients_are_those_of_keras(cell, options, storage, kernel, go_backwards):
    arguments = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": go_backwards,
        **options,
    }
    expected, layer = twins(cell, storage, kernel, **arguments)
    for masked, mask in enumerate((None, random_mask())):
        case = (cell, *options, go_backwards, masked)
        if case not in _OF_KERAS:
            _OF_KERAS[case] = gradients(expected, mask)
        wanted, received = list(_OF_KERAS[case]), gradients(layer, mask)
        states = len(layer.state_size)
        for index, alive in enumerate(dense_mask(layer), start=1 + states):
            grid = layer.grids[index - 1 - states]
            alive = grid.expand(grid.live(alive))
            assert (
                np.abs(wanted[index][~alive]).max() > 0.01
            )  # so that a gradient of a dead weight would be seen
            wanted[index] = wanted[index] * alive
            if storage == "packed":
                wanted[index] = grid.pack(wanted[index], np.flatnonzero(grid.live(alive)))[0]
        for one, other in zip(wanted, received, strict=True):
            np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_losses_of_regularizers_are_those_of_the_dense_kernels(storage):
    class RowNorms(keras.regularizers.Regularizer):
        def __call__(self, weight):
            return tf.reduce_sum(tf.sqrt(tf.reduce_sum(tf.square(weight), axis=1) + 1e-3))

    arguments = {
        "kernel_regularizer": keras.regularizers.L1L2(0.1, 0.2),
        "recurrent_regularizer": RowNorms(),
        "bias_regularizer": "l2",
        "activity_regularizer": keras.regularizers.L2(0.3),
    }
    expected, layer = twins("lstm", storage, **arguments)
    expected(inputs()), layer(inputs())
    assert len(layer.losses) == 4
    np.testing.assert_allclose(sorted(layer.losses), sorted(expected.losses), rtol=1e-5)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_constraints_apply_to_the_dense_kernels(storage):
    arguments = {
        "kernel_constraint": keras.constraints.MaxNorm(0.5, axis=0),
        "recurrent_constraint": "non_neg",
    }
    expected, layer = twins("gru", storage, **arguments)
    masks = dense_mask(layer)
    for one in (expected, layer):
        optimizer = keras.optimizers.SGD(0.0)
        optimizer.build(one.trainable_variables)
        optimizer.apply([tf.zeros(variable.shape) for variable in one.trainable_variables])
    wanted = [
        variable.numpy() * mask for variable, mask in zip(expected.trainable_variables, masks)
    ]
    for one, other in zip(wanted, layer.dense_kernels(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)
    assert np.linalg.norm(layer.dense_kernels()[0], axis=0).max() < 0.5 + 1e-6


OPTIMIZERS = [
    keras.optimizers.AdamW(0.1, weight_decay=0.1),
    keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    keras.optimizers.Lion(0.1),
    keras.optimizers.Adafactor(0.1, epsilon_1=1e-15),
    keras.optimizers.RMSprop(0.1, use_ema=True, ema_overwrite_frequency=2),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_padding_stays_zero_in_training(optimizer):
    _, layer = twins("lstm", "packed", "auto", kernel_initializer="ones")
    assert not padding(layer).any()
    model = keras.Sequential([keras.Input((6, INPUTS)), layer])
    model.compile(type(optimizer).from_config(optimizer.get_config()), "mse", run_eagerly=True)
    before = [values.numpy() for values in (layer.kernel_values, layer.recurrent_kernel_values)]
    model.fit(inputs(batch=20), np.ones((20, UNITS)), epochs=2, batch_size=5, verbose=0)
    assert not padding(layer).any()
    assert np.abs(before[0] - layer.kernel_values.numpy()).max() > 0.01
    assert np.abs(before[1] - layer.recurrent_kernel_values.numpy()).max() > 0.01


def test_padding_is_cleared_after_an_optimizer_that_fills_it():
    class Noise(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_add(variable, tf.ones_like(gradient))

    class Raised(keras.constraints.Constraint):
        def __call__(self, kernel):
            return kernel + 1.0

    _, layer = twins("simple_rnn", recurrent_constraint=Raised())
    optimizer = Noise(0.1)
    optimizer.build(layer.trainable_variables)
    optimizer.apply([tf.zeros(variable.shape) for variable in layer.trainable_variables])
    assert not padding(layer).any()
    assert layer.recurrent_kernel_values.numpy().max() > 1.5


def padding(layer):
    """The values outside the kernels."""
    pairs = (
        (layer.kernel_values, layer.kernel_blocks),
        (layer.recurrent_kernel_values, layer.recurrent_kernel_blocks),
    )
    outside = []
    for grid, (values, blocks) in zip(layer.grids, pairs):
        ones = grid.split(np.ones(grid.kernel_shape)).reshape(grid.count, *grid.block_shape)
        assert (ones == 0).any()
        outside.append(values.numpy()[ones[blocks.numpy()] == 0])
    return np.concatenate(outside)


def test_a_dead_block_of_masked_storage_stays_dead():
    _, layer = twins("lstm", "masked", "auto")
    alive = dense_mask(layer)
    model = keras.Sequential([keras.Input((6, INPUTS)), layer])
    model.compile("adam", "mse")
    model.fit(inputs(), np.ones((5, UNITS)), epochs=3, verbose=0)
    assert all(np.array_equal(before, after) for before, after in zip(alive, dense_mask(layer)))


def test_blocks_may_be_pruned_between_calls_of_masked_storage():
    expected, layer = twins("gru", "masked", "auto", return_sequences=True)
    kernels = [kernel.copy() for kernel in layer.dense_kernels()]
    kernels[0][:4], kernels[1][:, :19] = 0.0, 0.0
    call = tf.function(lambda x: layer(x))
    call(inputs())
    set_dense_weights(layer, kernels, None)
    expected.set_weights([*kernels, expected.cell.bias.numpy()])
    np.testing.assert_allclose(call(inputs()), expected(inputs()), rtol=0, atol=3e-6)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("initializer", ["zeros", keras.initializers.Identity(0.5)])
@pytest.mark.quick_cases(2)
def test_masked_storage_trains_kernels_that_start_with_zeros(kernel, initializer):
    arguments = {
        "kernel_initializer": initializer,
        "recurrent_initializer": initializer,
        "activation": "tanh",
    }
    expected = keras.layers.SimpleRNN(UNITS, **arguments, bias_initializer="ones")
    layer = type(twins("simple_rnn")[1])(
        UNITS, (4, 8), storage="masked", kernel=kernel, **arguments, bias_initializer="ones"
    )
    for one in (expected, layer):
        model = keras.Sequential([keras.Input((6, INPUTS)), one])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(inputs(), np.full((5, UNITS), 0.2), epochs=2, verbose=0)
    assert (expected.cell.recurrent_kernel.numpy() != 0).all()
    for received, weights in zip(layer.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(received, weights, rtol=0, atol=1e-6)


def test_a_diagonal_of_several_values_is_a_pattern():
    _, layer = twins("simple_rnn", "masked", "auto")
    kernel = np.diag(np.arange(1.0, UNITS + 1)).astype("float32")
    live = storage.pack_live(kernel, layer.grids[1]).blocks.numpy()
    np.testing.assert_array_equal(live, np.flatnonzero(layer.grids[1].live(kernel)))
    assert len(storage.pack_live(2 * np.eye(UNITS), layer.grids[1]).blocks) == layer.grids[1].count


@pytest.mark.parametrize("initializer", ["zeros", "identity"])
def test_a_random_pattern_of_masked_storage_needs_weights_that_show_it(initializer):
    layer = type(twins("gru")[1])(
        UNITS, (4, 4), storage="masked", sparsity=0.5, recurrent_initializer=initializer
    )
    with pytest.raises(
        ValueError,
        match=r'`sparsity` must be 0 in a layer of `storage="masked"` whose kernel starts',
    ):
        layer.build((5, 6, INPUTS))
