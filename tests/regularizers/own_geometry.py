"""A manifold and an inhibitor of a user's own."""

import keras
import numpy as np

from keras_sparse_rnn.manifolds import Manifold


@keras.saving.register_keras_serializable(package="tests")
class Line(Manifold):
    def points(self, count, seed):
        return np.arange(count)[:, None] * 1.0

    def distance(self, a, b):
        return np.abs(a - b.T)


@keras.saving.register_keras_serializable(package="tests")
def beyond_two(distance):
    return 1.0 * (distance > 2)
