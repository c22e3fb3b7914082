"""Models with random weights, and inputs for them."""

import keras
import numpy as np

X = np.random.default_rng(3).normal(size=(6, 4, 5)).astype("float32")


def randomized(model):
    """Biases, gains and running statistics, too, have values that tell an order."""
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def functional(make):
    inputs = keras.Input((4, 5))
    return randomized(keras.Model(inputs, make(inputs)))
