"""The gradients of dead blocks, against those of the dense Keras layer in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn import layers, ops
from keras_sparse_rnn.layers.growth import GradientWatch
from keras_sparse_rnn.ops import dead_blocks
from keras_sparse_rnn.patterns import BlockGrid

UNITS, INPUTS = 13, 7
CELLS = {
    "lstm": (layers.BlockSparseLSTM, keras.layers.LSTM, {}),
    "gru": (layers.BlockSparseGRU, keras.layers.GRU, {}),
    "gru_reset_before": (
        layers.BlockSparseGRU,
        keras.layers.GRU,
        {"reset_after": False, "use_bias": False},
    ),
    "simple_rnn": (layers.BlockSparseSimpleRNN, keras.layers.SimpleRNN, {"activation": "relu"}),
}
MASK = np.array([[0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 1]], bool)


@pytest.fixture(autouse=True)
def several_stripes(monkeypatch):
    """Kernels here are small: a stripe holds some columns of blocks only."""
    monkeypatch.setattr(dead_blocks, "AT_ONCE", 150)
    keras.utils.set_random_seed(4)


def watch_of(layer, count, scope, numbers):
    lives = [len(np.asarray(one)) for one in numbers]
    watch = GradientWatch("it", [count] * len(lives), lives, scope, layer.grids, lambda: 3)
    watch.due.assign(3)
    return watch


def assert_largest(watch, grids, gradients, numbers, count, scope):
    """`watch` has found what a dense float64 gradient has largest."""
    for grid, gradient, found, live in zip(grids, gradients, watch.found, numbers):
        worth = (grid.split(gradient**2).sum(axis=(3, 4)) / grid.elements).ravel()
        found, scores, of_live = (variable.numpy() for variable in found)
        np.testing.assert_allclose(of_live, worth[live], rtol=1e-3)
        worth[live] = -1
        parts = grid.gates if scope == "gate" else 1
        for part, own in enumerate(worth.reshape(parts, -1)):
            order = np.argsort(-own, kind="stable")[:count]
            order = order[own[order] >= 0]
            missing = np.full(count - len(order), -1)
            wanted = np.concatenate([order + part * own.size, missing])
            assert np.array_equal(found[part], wanted)
            np.testing.assert_allclose(scores[part][: len(order)], own[order], rtol=1e-3)


@pytest.mark.parametrize(
    "cell, backwards, masked, scope, block_shape",
    [
        ("lstm", False, False, "gate", (3, 5)),
        ("lstm", True, True, "kernel", (1, 4)),
        ("gru", True, True, "gate", (3, 5)),
        ("gru", False, False, "kernel", (1, 4)),
        ("gru_reset_before", False, True, "gate", (3, 5)),
        ("simple_rnn", True, False, "gate", (1, 4)),
    ],
)
def test_the_dead_blocks_of_the_largest_gradients_are_found(
    cell, backwards, masked, scope, block_shape
):
    """Odd sizes, every time step's mask, states that are not zero; more blocks wanted than dead."""
    twin, parent, arguments = CELLS[cell]
    arguments = {
        "bias_initializer": "random_normal",
        "return_sequences": True,
        "go_backwards": backwards,
        **arguments,
    }
    made = twin(UNITS, block_shape, sparsity=0.6, **arguments)
    made.build((3, 4, INPUTS))
    dense = parent(UNITS, dtype="float64", **arguments)
    dense.build((3, 4, INPUTS))
    dense.set_weights([*made.dense_kernels(), *([] if made.bias is None else [made.bias.numpy()])])
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(3, 4, INPUTS)), generator.normal(size=(3, 4, UNITS))
    states = [generator.normal(size=(3, UNITS)) for _ in range(2 if cell == "lstm" else 1)]
    mask = tf.constant(MASK) if masked else None
    numbers = [made.kernel_blocks.numpy(), made.recurrent_kernel_blocks.numpy()]
    made.watch = watch_of(made, 12, scope, numbers)

    def gradients(layer, variables, dtype):
        with tf.GradientTape() as tape:
            initial = [tf.constant(state, dtype) for state in states]
            outputs = layer(tf.constant(x, dtype), training=True, mask=mask, initial_state=initial)
            loss = tf.reduce_sum(outputs * tf.constant(weight, dtype))
        return [np.asarray(one) for one in tape.gradient(loss, variables)]

    gradients(made, [made.kernel_values.value], "float32")
    wanted = gradients(dense, [v.value for v in dense.trainable_variables[:2]], "float64")
    assert made.watch.caught.numpy() == 3
    assert_largest(made.watch, made.grids, wanted, numbers, 12, scope)


def test_those_of_a_dense_layer_are_found():
    made = layers.BlockSparseDense(UNITS, (3, 2), sparsity=0.5, activation="tanh")
    x = np.random.default_rng(0).normal(size=(2, 3, INPUTS))
    made.build(x.shape)
    numbers = [made.kernel_blocks.numpy()]
    made.watch = watch_of(made, 6, "gate", numbers)
    kernel = tf.constant(made.dense_kernels()[0], "float64")
    with tf.GradientTape() as tape:
        tape.gradient(tf.reduce_sum(made(x, training=True) ** 3), made.trainable_variables[0].value)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(tf.tanh(tf.constant(x) @ kernel) ** 3)
    assert_largest(made.watch, made.grids, [tape.gradient(loss, kernel)], numbers, 6, "gate")


def test_a_watched_layer_has_the_gradients_of_one_that_is_not():
    made = layers.BlockSparseSimpleRNN(UNITS, (3, 5), sparsity=0.6)
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 4, INPUTS)), "float32")
    made.build(x.shape)
    found = []
    for due in (None, 3, 2):
        if due is not None:
            numbers = [made.kernel_blocks.numpy(), made.recurrent_kernel_blocks.numpy()]
            made.watch = watch_of(made, 2, "gate", numbers)
            made.watch.due.assign(due)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(made(x, training=True) ** 2)
            return tape.gradient(loss, [v.value for v in made.trainable_variables])

        found.append([one.numpy() for one in step()])
        made(x)  # not in training
        assert due is None or made.watch.caught.numpy() == (3 if due == 3 else -1)
    for first, *others in zip(*found):
        assert all(np.array_equal(first, other) for other in others)


def test_a_layer_that_is_called_twice_in_a_step_is_refused():
    made = layers.BlockSparseDense(4, (2, 2), sparsity=0.5, name="shared")
    made.build((3, 4))
    made.watch = watch_of(made, 1, "gate", [made.kernel_blocks.numpy()])

    @tf.function
    def step(x):
        return made(made(x, training=True), training=True)

    with pytest.raises(ValueError) as error:
        step(tf.ones((3, 4)))
    assert (
        "`growth` must be \"random\" for the layer 'it', which is called more than once in a step: "
        "no single call knows the gradients of its dead blocks. Received: "
        'growth="gradient"' in str(error.value)
    )


def test_a_gradient_that_is_no_number_stands_first():
    grid = BlockGrid(4, 4, 1, (2, 2))
    gradients = np.ones((3, 4), "float32")
    gradients[0, 3] = np.nan
    found = ops.largest_gradients(
        [tf.ones((3, 4))], tf.constant(gradients), tf.constant([0], tf.int32), grid, 2
    )
    assert found[0].numpy().tolist() == [[2, 3]] and np.isinf(found[1].numpy()).all()
