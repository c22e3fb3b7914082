"""Distances in TensorFlow, with gradients that are finite everywhere."""

import tensorflow as tf


def differences(a, b):
    """One tensor `[points of a, points of b]` for each coordinate: that of the point of `a` less that of the point of `b`."""
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    return [a[:, None, axis] - b[None, :, axis] for axis in range(a.shape[-1])]


def sum_of_squares(parts):
    return tf.add_n([part * part for part in parts])


def root(squares):
    """The square root; at zero its gradient is zero, where that of `tf.sqrt` is infinite."""
    positive = squares > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, tf.ones_like(squares))), tf.zeros_like(squares))


def around(differences, period):
    """Distances on a circle of circumference `period`."""
    forward = tf.math.floormod(differences, tf.cast(period, differences.dtype))
    return tf.minimum(forward, period - forward)
