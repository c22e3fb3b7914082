"""The penalty and its gradient against a plain loop, and what they mean."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from lasso_by_hand import blocks_of, group_lasso, random_kernel

from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.regularizers import GroupLasso


def value_and_gradient(lasso, kernel, **options):
    kernel = tf.convert_to_tensor(kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        penalty = lasso(kernel, **options)
    return penalty.numpy(), tape.gradient(penalty, kernel).numpy()


@pytest.mark.parametrize("block_shape", [(1, 1), (1, 4), (3, 1), (3, 2), (5, 7), (40, 40)])
@pytest.mark.parametrize(
    "inputs, units, gates", [(7, 5, 4), (9, 6, 3), (11, 11, 1), (1, 4, 4), (6, 4, 4)]
)
def test_it_is_the_sum_of_norms_of_the_blocks_of_each_gate(inputs, units, gates, block_shape):
    kernel = random_kernel(inputs, gates * units)
    kernel[list(blocks_of(kernel.shape, gates, block_shape))[0]] = 0
    penalty, gradient = value_and_gradient(GroupLasso(0.3, block_shape), kernel, gates=gates)
    expected, expected_gradient = group_lasso(kernel, gates, block_shape, 0.3)
    np.testing.assert_allclose(penalty, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-15)


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    st.integers(1, 13),
    st.integers(1, 11),
    st.sampled_from([1, 3]),
    *[st.tuples(st.integers(1, 3), st.integers(1, 3))] * 2,
    st.data(),
)
def test_packed_blocks_have_the_penalty_and_gradient_of_their_parts(
    inputs, units, gates, part, times, data
):
    """Blocks of a layer that hold several of the lasso's, some of them partial, others outside the
    kernel.
    """
    grid = BlockGrid(inputs, units, gates, (part[0] * times[0], part[1] * times[1]))
    live = np.array(data.draw(st.lists(st.booleans(), min_size=grid.count, max_size=grid.count)))
    kernel = random_kernel(inputs, gates * units) * grid.expand(live)
    values, blocks = grid.pack(kernel, np.flatnonzero(live))
    values, lasso = tf.constant(values), GroupLasso(0.7, part)
    with tf.GradientTape() as tape:
        tape.watch(values)
        penalty = lasso.of_packed(values, tf.constant(blocks), grid)
    expected, gradient = group_lasso(kernel, gates, part, 0.7)
    assert float(penalty) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(
        tape.gradient(penalty, values), grid.pack(gradient, np.flatnonzero(live))[0], atol=1e-9
    )


def test_the_gradient_is_that_of_finite_differences():
    kernel = random_kernel(5, 8)
    lasso = GroupLasso(0.3, (2, 3), gates=2)
    numeric, exact = tf.test.compute_gradient(
        lambda w: lasso(w), [tf.constant(kernel)], delta=1e-6
    )[::-1]
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-7, atol=1e-8)


def test_second_derivatives_are_those_of_finite_differences():
    lasso = GroupLasso(0.3, (2, 2), gates=1)
    kernel = tf.constant(random_kernel(4, 4))

    def gradient(weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            penalty = lasso(weights)
        return tape.gradient(penalty, weights)

    numeric, exact = tf.test.compute_gradient(gradient, [kernel], delta=1e-6)[::-1]
    np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-6, atol=1e-7)


@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
@hypothesis.given(
    st.integers(1, 9),
    st.integers(1, 7),
    st.sampled_from([1, 3, 4]),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.floats(1e-3, 1e3),
)
def test_it_grows_in_proportion_to_the_weights_and_the_strength(
    inputs, units, gates, block_shape, factor
):
    kernel = random_kernel(inputs, gates * units)
    once, gradient = value_and_gradient(GroupLasso(0.3, block_shape), kernel, gates=gates)
    larger, same_gradient = value_and_gradient(
        GroupLasso(0.3, block_shape), factor * kernel, gates=gates
    )
    np.testing.assert_allclose(larger, factor * once, rtol=1e-12)
    np.testing.assert_allclose(same_gradient, gradient, rtol=1e-10)
    np.testing.assert_allclose(np.sum(kernel * gradient), once, rtol=1e-12)  # Euler's theorem
    np.testing.assert_allclose(
        GroupLasso(0.3 * factor, block_shape)(kernel, gates=gates), larger, rtol=1e-12
    )


@pytest.mark.parametrize("block_shape", [(1, 1), (4, 4), (1, 16), (16, 16), (7, 5)])
def test_strengths_are_comparable_across_block_shapes(block_shape):
    signs = np.sign(random_kernel(33, 4 * 17))
    penalty, gradient = value_and_gradient(GroupLasso(0.3, block_shape, gates=4), signs)
    np.testing.assert_allclose(penalty, 0.3 * signs.size, rtol=1e-12)
    np.testing.assert_allclose(gradient, 0.3 * signs, rtol=1e-12)
    normal = random_kernel(33, 4 * 17)
    share = value_and_gradient(GroupLasso(1.0, block_shape, gates=4), normal)[0] / normal.size
    # Of normal weights sqrt(2 / pi) in blocks of one, and near 1 in large ones.
    assert share == pytest.approx(np.sqrt(2 / np.pi) if block_shape == (1, 1) else 1, rel=0.05)


def test_blocks_of_one_are_the_l1_penalty():
    kernel = random_kernel(7, 12).astype("float32")  # all that L1 takes before Keras 3.14
    np.testing.assert_allclose(
        GroupLasso(0.3, (1, 1))(kernel), keras.regularizers.L1(0.3)(kernel), rtol=1e-6
    )


@pytest.mark.parametrize("size", [1e-17, 1e-3, 1e4, 1e15])
@pytest.mark.parametrize("block_shape", [(1, 1), (2, 3), (16, 16)])
def test_tiny_and_large_weights_have_their_gradient(size, block_shape):
    kernel = (size * random_kernel(20, 57)).astype("float32")
    penalty, gradient = value_and_gradient(GroupLasso(0.5, block_shape, gates=3), kernel)
    expected, expected_gradient = group_lasso(kernel, 3, block_shape, 0.5)
    np.testing.assert_allclose(penalty, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("size", [1e-45, 1e-30, 1e-22, 1e-19, 3e-19, 1e-18])
def test_weights_whose_squares_vanish_are_pulled_no_harder_than_others(size):
    kernel = np.full((16, 16), size, "float32")
    gradient = value_and_gradient(GroupLasso(1.0, gates=1), kernel)[1]
    assert np.isfinite(gradient).all() and np.abs(gradient).max() <= 1.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("block_shape", [(1, 1), (2, 3)])
def test_blocks_of_zeros_have_a_gradient_of_zero(dtype, block_shape):
    penalty, gradient = value_and_gradient(
        GroupLasso(0.5, block_shape, gates=1), tf.zeros((5, 7), dtype)
    )
    assert (
        penalty == 0 and not gradient.any() and gradient.dtype == tf.as_dtype(dtype).as_numpy_dtype
    )


def test_half_precision_is_added_up_in_single():
    kernel = np.full(
        (64, 64), 1e-4, "float16"
    )  # whose square is not a float16, and of which there are too many
    penalty, gradient = value_and_gradient(GroupLasso(1.0, gates=1), kernel)
    np.testing.assert_allclose(penalty, 64 * 64 * 1e-4, rtol=1e-3)
    np.testing.assert_allclose(gradient, 1, rtol=1e-3)
    assert penalty.dtype == np.float32 and gradient.dtype == np.float16
    assert value_and_gradient(GroupLasso(1.0, gates=1), np.full((64, 64), 300, "float16"))[
        0
    ] == pytest.approx(64 * 64 * 300)


def test_errors():
    with pytest.raises(ValueError) as error:
        GroupLasso(-1.0)
    assert str(error.value) == "`strength` must be a number of at least 0. Received: strength=-1.0"
    with pytest.raises(ValueError) as error:
        GroupLasso(1.0, (0, 16))
    assert (
        str(error.value)
        == "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
        "block_shape=(0, 16)"
    )
    with pytest.raises(ValueError) as error:
        GroupLasso(1.0, gates=0)
    assert str(error.value) == (
        "`gates` must be None or how many gates stand side by side in the kernel: 4 in an LSTM, "
        "3 in a GRU, else 1. Received: gates=0"
    )
    with pytest.raises(ValueError) as error:
        GroupLasso(1.0, (2, 2))(np.zeros(4))
    assert (
        str(error.value)
        == "GroupLasso takes kernels [inputs, gates * units]. Received: a kernel of shape (4,)"
    )
    with pytest.raises(ValueError) as error:
        GroupLasso(1.0, (2, 2), gates=3)(np.zeros((2, 4)))
    assert (
        str(error.value)
        == "`gates` of GroupLasso must divide the columns of the kernel. Received: gates=3, a "
        "kernel of shape (2, 4)"
    )
    with pytest.raises(ValueError) as error:
        GroupLasso(1.0, (4, 4))(np.zeros((24, 24)))
    assert str(error.value) == (
        "`gates` of GroupLasso cannot be told from a kernel of shape (24, 24), whose gates are cut "
        "apart into blocks of 4 columns: pass gates=4 for an LSTM, gates=3 for a GRU, gates=1 for "
        "any other layer. Received: gates=None"
    )
