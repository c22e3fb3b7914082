"""Distances in TensorFlow, with gradients that are finite everywhere (in reverse mode,
`tf.GradientTape`).
"""

import tensorflow as tf


def differences(a, b):
    """One tensor `[points of a, points of b]` for each coordinate: that of the point of `a` less
    that of the point of `b`.
    """
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    return [a[:, None, axis] - b[None, :, axis] for axis in range(a.shape[-1])]


def sum_of_squares(parts):
    return tf.add_n([part * part for part in parts])


@tf.custom_gradient
def root(squares):
    """The square root; at zero its gradient is zero, where that of `tf.sqrt` is infinite."""
    lengths = tf.sqrt(squares)
    return lengths, lambda upstream: tf.math.divide_no_nan(upstream / 2, lengths)


def around(differences, period):
    """Distances on a circle of circumference `period`."""
    period = tf.cast(period, differences.dtype)
    return tf.abs(
        differences - period * tf.round(differences / period)
    )  # several times as fast as a modulo
