"""The penalty and its gradient against a plain loop, and what they mean."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from problems import blocks_of, group_lasso, random_kernel

from keras_sparse_rnn.regularizers import GroupLasso


def value_and_gradient(lasso, kernel, **options):
    kernel = tf.convert_to_tensor(kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        penalty = lasso(kernel, **options)
    return penalty.numpy(), tape.gradient(penalty, kernel).numpy()


@pytest.mark.parametrize("block_shape", [(1, 1), (1, 4), (3, 1), (3, 2), (5, 7), (40, 40)])
@pytest.mark.parametrize("inputs, units, gates", [(7, 5, 4), (9, 6, 3), (11, 11, 1), (1, 4, 4), (6, 4, 4)])
def test_it_is_the_sum_of_norms_of_the_blocks_of_each_gate(inputs, units, gates, block_shape):
    kernel = random_kernel(inputs, gates * units)
    kernel[list(blocks_of(kernel.shape, gates, block_shape))[0]] = 0
    penalty, gradient = value_and_gradient(GroupLasso(0.3, block_shape), kernel, gates=gates)
    expected, expected_gradient = group_lasso(kernel, gates, block_shape, 0.3)
    np.testing.assert_allclose(penalty, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-15)


def test_the_gradient_is_that_of_finite_differences():
    kernel = random_kernel(5, 8)
    lasso = GroupLasso(0.3, (2, 3), gates=2)
    numeric, exact = tf.test.compute_gradient(lambda w: lasso(w), [tf.constant(kernel)], delta=1e-6)[::-1]
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
