"""A small subclassed model, and inputs for it."""

import keras
import numpy as np
from keras import layers
from pruning import prune

# What a test of its own is about.
NOT_LOADABLE = "ignore:substitute. a Keras file of .* cannot be loaded again:UserWarning"


class Small(keras.Model):
    def __init__(self, name="mine"):
        super().__init__(name=name)
        self.lstm = layers.LSTM(8)

    def call(self, x):
        return self.lstm(x)


def built(model):
    model(np.zeros((2, 5, 9), "float32"))
    return prune(model)


def x_of(batch=6):
    return np.random.default_rng(0).normal(size=(batch, 5, 9)).astype("float32")
