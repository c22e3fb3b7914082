"""The native matrix product against a dense one in float64."""

import numpy as np
import pytest
import tensorflow as tf
from problems import SHAPES, assert_close, random_packed

from keras_sparse_rnn import ops

pytestmark = pytest.mark.usefixtures("cpu")


def check(leading, inputs, units, gates, block_shape, density):
    rng = np.random.default_rng(inputs * units)
    packed = random_packed(rng, inputs, units, gates, block_shape, density)
    x, dy = rng.normal(size=(*leading, inputs)), rng.normal(size=(*leading, gates * units))
    values = tf.constant(packed.values, tf.float32)
    x_tensor = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([x_tensor, values])
        y = ops.block_sparse_matmul(x_tensor, packed._replace(values=values), kernel="native")
        loss = tf.reduce_sum(y * tf.constant(dy, tf.float32))
    dx, d_values = tape.gradient(loss, [x_tensor, values])
    dense = packed.grid.unpack(packed.values, packed.blocks)
    assert_close(y.numpy(), x @ dense, "y")
    assert_close(dx.numpy(), dy @ dense.T, "dx")
    rows, outputs = x.reshape(-1, inputs), dy.reshape(-1, gates * units)
    expected = packed.grid.pack(rows.T @ outputs, packed.blocks)[0]
    assert_close(d_values.numpy(), expected, "d_values")


@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 17, 83])
def test_every_block_shape(block_shape, rows):
    check((rows,), 37, 41, 1, block_shape, 0.4)


@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("gates", [1, 3, 21])
def test_density_and_gates(density, gates):
    check((19,), 23, 11, gates, (4, 4), density)
    check((3,), 23, 11, gates, (8, 8), density)


@pytest.mark.parametrize("leading", [(), (0,), (2, 0), (2, 3), (5, 1, 7)], ids=str)
def test_leading_dimensions(leading):
    check(leading, 9, 7, 2, (4, 4), 0.5)


def test_more_panels_than_a_group():
    check((777,), 9, 7, 2, (4, 4), 0.5)


def test_unknown_sizes_in_a_graph():
    packed = random_packed(np.random.default_rng(0), 9, 7, 2, (4, 4), 0.5)
    x = tf.random.stateless_normal((3, 5, 9), (1, 2))
    expected = ops.block_sparse_matmul(x, packed, kernel="reference")
    for shape in ([None, 5, 9], [None, None, 9]):
        graph = tf.function(
            lambda x: ops.block_sparse_matmul(x, packed, kernel="native"),
            input_signature=[tf.TensorSpec(shape)],
        )
        assert graph.get_concrete_function().output_shapes.as_list() == shape[:-1] + [14]
        np.testing.assert_allclose(graph(x), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", ["native", "reference"])
@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6), (2, 3, 10)], ids=str)
def test_a_number_of_inputs_that_is_known_late_is_checked_then(shape, kernel):
    """Reshaped or read otherwise, such an `x` would be taken for another one."""
    packed = random_packed(np.random.default_rng(0), 9, 7, 2, (4, 4), 0.5)
    graph = tf.function(
        lambda x: ops.block_sparse_matmul(x, packed, kernel=kernel),
        input_signature=[tf.TensorSpec([None] * len(shape))],
    )
    right = tf.ones((*shape[:-1], 9))
    np.testing.assert_allclose(
        graph(right), ops.block_sparse_matmul(right, packed, kernel="reference"), atol=1e-5
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`x` must have the shape \[.*\?, 9\]\. Received: x of shape",
    ):
        graph(tf.ones(shape))


def test_a_number_of_inputs_that_is_known_late_is_checked_in_cells():
    packed, recurrent = (
        random_packed(np.random.default_rng(0), size, 5, 1, (1, 16), 1.0) for size in (1, 5)
    )
    graph = tf.function(
        lambda x, h: ops.block_sparse_simple_rnn(x, h, packed, recurrent, None, kernel="native"),
        input_signature=[tf.TensorSpec([None] * 3), tf.TensorSpec([None] * 2)],
    )
    assert graph(tf.ones((2, 3, 1)), tf.zeros((2, 5)))[0].shape == (2, 3, 5)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`x` must have the shape \[\?, \?, 1\]\. Received: x of shape",
    ):
        graph(tf.ones((2, 3, 2)), tf.zeros((2, 5)))
