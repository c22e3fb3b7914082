"""Models for the tests of the export to C."""

import keras
import numpy as np


def randomised(model, seed=0):
    """`model` with random weights everywhere, moving means and variances too."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" not in variable.dtype:  # block numbers, states of random generators
            continue
        value = rng.normal(size=variable.shape) * (0.5 / np.sqrt(variable.shape[0]))
        positive = "variance" in variable.path
        variable.assign(np.abs(value) + 0.5 if positive else value)
    return model


def sequential(*layers, features=6, name="chain", batch=None):
    """Layers on sequences of any length, randomised."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((None, features), batch, name="x"), *layers], name=name)
    model(np.zeros((1, 2, features), "float32"))  # builds activations that are layers, too
    return randomised(model)
