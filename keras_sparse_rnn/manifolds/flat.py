"""The manifolds that are flat: the torus, the Klein bottle, Euclidean space."""

import statistics

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.manifolds.manifold import Manifold, check_dimensions
from keras_sparse_rnn.manifolds.norms import around, differences, root, sum_of_squares

SIDE = 10.0
MOST_GENERATORS = 2048  # that are tried for a lattice


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Torus(Manifold):
    """A square (cube, ...) of side 10, of which opposite sides are one: coordinates in [0, 10),
    each going round its circle.

    The distance is the Euclidean norm of `min((a - b) mod 10, (b - a) mod 10)` over the
    coordinates.

    The lattice is of rank one: point number i at `10 * (i * g / count mod 1)` with `g = (1, k,
    k**2, ...)` and the k that keeps the points farthest apart. Every point sees the same
    surroundings, so all neurons are inhibited alike, whatever their number.

    Args:
        dimensions: how many circles.
    """

    side = SIDE

    def __init__(self, dimensions=2):
        self.dimensions = check_dimensions(dimensions)

    def points(self, count, seed):
        return SIDE * np.random.default_rng(seed).random((count, self.dimensions))

    def lattice(self, count):
        return SIDE * rank_one_lattice(count, self.dimensions)

    def distance(self, a, b):
        return root(sum_of_squares([around(difference, SIDE) for difference in differences(a, b)]))

    def chart(self, points):
        return np.mod(points[:, :3], SIDE)

    def image(self, a, b):
        return a + np.mod(b - a + SIDE / 2, SIDE) - SIDE / 2

    def get_config(self):
        return {"dimensions": self.dimensions}


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class KleinBottle(Manifold):
    """A square of side 10 whose upper and lower side are one, and whose left and right side are one
    the other way round.

    It is the plane in which `(x, y)`, `(x, y + 10)` and `(x + 10, 10 - y)` are one point, and the
    distance of two points is the least Euclidean one between any of their images: for points in the
    square, over the identity and the 8 images around it, as in the paper's code. An image an even
    number of squares away along x is a shift by 20 and 10, one an odd number away is such a shift
    of `(x + 10, -y)`, so two distances on tori are all that has to be compared, and the formula
    holds in the whole plane.

    The lattice has columns of equal spacing, in each of which the points stand evenly and centred,
    so that it meets itself turned over.
    """

    side = SIDE

    def points(self, count, seed):
        return SIDE * np.random.default_rng(seed).random((count, 2))

    def lattice(self, count):
        columns = max(1, round(count**0.5))
        ends = np.arange(columns + 1) * count // columns
        heights = [(np.arange(size) + 0.5) / size for size in np.diff(ends)]
        places = [
            (column + 0.5) / columns
            for column, size in enumerate(np.diff(ends))
            for _ in range(size)
        ]
        return SIDE * np.stack([places, np.concatenate(heights)], axis=1)

    def distance(self, a, b):
        along, across = differences(a, b)
        mirrored = a[:, None, 1] + b[None, :, 1]
        along = around(along, 2 * SIDE)
        straight = sum_of_squares([along, around(across, SIDE)])
        turned = sum_of_squares([SIDE - along, around(mirrored, SIDE)])
        return root(tf.minimum(straight, turned))

    def image(self, a, b):
        period = np.array([2 * SIDE, SIDE])
        images = [
            a + np.mod(image - a + period / 2, period) - period / 2
            for image in (b, b * [1, -1] + [SIDE, 0])
        ]
        lengths = [np.linalg.norm(image - a, axis=1, keepdims=True) for image in images]
        return np.where(lengths[0] <= lengths[1], *images)

    def chart(self, points):
        squares = np.floor(points[:, :1] / SIDE)
        return np.mod(np.where(squares % 2 == 0, points, points * [1, -1]), SIDE)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Euclidean(Manifold):
    """Flat space without an edge; Gaussian points of unit variance. It is meant for embeddings that
    are trained, which can spread as they need.

    The lattice is that of the torus, drawn out so that each point has an equal share of the
    Gaussian.

    Args:
        dimensions: of the space.
    """

    def __init__(self, dimensions):
        self.dimensions = check_dimensions(dimensions)

    def points(self, count, seed):
        return np.random.default_rng(seed).normal(size=(count, self.dimensions))

    def lattice(self, count):
        shares = rank_one_lattice(count, self.dimensions) + 0.5 / count
        return np.vectorize(statistics.NormalDist().inv_cdf, otypes=[float])(shares)

    def distance(self, a, b):
        return root(sum_of_squares(differences(a, b)))

    def get_config(self):
        return {"dimensions": self.dimensions}


def rank_one_lattice(count, dimensions):
    """Korobov's lattice in the unit cube, float64 `[count, dimensions]`: the one whose points, on
    the torus, are farthest from each other.

    Generators have no factor in common with `count`, so each coordinate by itself takes `count`
    even values. Of more than 4096 points not every generator is tried.
    """
    numbers = np.arange(count, dtype=np.int64)
    if dimensions == 1:
        return numbers[:, None] / count
    generators = np.unique(
        np.linspace(1, max(1, count // 2), min(MOST_GENERATORS, max(1, count // 2))).astype(int)
    )
    best, widest = None, -1
    for generator in generators[np.gcd(generators, count) == 1].tolist():
        powers = np.array(
            [pow(generator, exponent, count) for exponent in range(dimensions)], np.int64
        )
        multiples = (
            numbers[1 : count // 2 + 1, None] * powers % count
        )  # the others are these, mirrored
        steps = np.minimum(multiples, count - multiples)
        gap = (steps * steps).sum(axis=1).min(initial=count * count * dimensions)
        if gap > widest:
            best, widest = powers, gap
    return (numbers[:, None] * best % count) / count
