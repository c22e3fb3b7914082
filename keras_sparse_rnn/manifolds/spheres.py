"""The circle and the spheres."""

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.manifolds.manifold import Manifold
from keras_sparse_rnn.manifolds.norms import differences, root, sum_of_squares

GOLDEN = (1 + 5**0.5) / 2


class UnitVectors(Manifold):
    """Unit vectors; their distance is `radius` times the angle between them.

    `radius * acos <a, b>`, computed as `2 * radius * atan2(|a - b|, |a + b|)` of the vectors scaled
    to length one: the same in exact numbers, but the cosine of a small angle rounds to 1, and the
    gradient of acos is infinite there.
    """

    coordinates: int
    radius = 5.0

    def points(self, count, seed):
        vectors = np.random.default_rng(seed).normal(size=(count, self.coordinates))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def distance(self, a, b):
        a, b = _scaled(a), _scaled(b)
        apart = root(sum_of_squares(differences(a, b)))
        together = root(sum_of_squares(differences(a, -b)))
        return 2 * self.radius * tf.atan2(apart, together)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Circle(UnitVectors):
    """Unit vectors of the plane. The distance is 5 times the angle, so once round is 31.4. The
    lattice runs round by angle.
    """

    coordinates = 2

    def lattice(self, count):
        angles = 2 * np.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Sphere(UnitVectors):
    """Unit vectors of space. The distance is 5 times the angle; the area is 314. The lattice is
    Fibonacci's spiral from pole to pole.
    """

    coordinates = 3

    def lattice(self, count):
        number = np.arange(count) + 0.5
        height, angles = 1 - 2 * number / count, 2 * np.pi * number / GOLDEN
        radius = np.sqrt(1 - height**2)
        return np.stack([radius * np.cos(angles), radius * np.sin(angles), height], axis=1)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Sphere3(UnitVectors):
    """Unit vectors of four dimensions. The distance is 10 times the angle; the volume is 19,739.

    The lattice is the super-Fibonacci spiral (Alexa 2022, "Super-Fibonacci Spirals: Fast,
    Low-Discrepancy Sampling of SO(3)").
    """

    coordinates = 4
    radius = 10.0

    def lattice(self, count):
        number = np.arange(count) + 0.5
        first, second = (
            2 * np.pi * number / 2**0.5,
            2 * np.pi * number / 1.533751168755204288118041,
        )  # psi**4 = psi + 4
        inner, outer = np.sqrt(number / count), np.sqrt(1 - number / count)
        return np.stack(
            [
                inner * np.sin(first),
                inner * np.cos(first),
                outer * np.sin(second),
                outer * np.cos(second),
            ],
            axis=1,
        )

    def chart(self, points):
        """Stereographic, from the pole at `w = -1`, drawn in to a ball: a neuron there would be
        infinitely far.
        """
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        flat = points[:, :3] / (1 + points[:, 3:] + 1e-12)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        return flat * np.arctan(length) / np.maximum(length, 1e-12)


def _scaled(vectors):
    vectors = tf.convert_to_tensor(vectors)
    return vectors / tf.norm(vectors, axis=-1, keepdims=True)
