"""Models with random weights in which units are cut off, and the difference that removal makes."""

import keras
import numpy as np

import keras_sparse_rnn as ksr

X = np.random.default_rng(3).normal(size=(3, 6, 5)).astype("float32")


def randomized(model, seed=5):
    """`model` with random weights, biases and running statistics."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        if "float" in variable.dtype:
            variable.assign(generator.uniform(-0.8, 0.8, variable.shape))
        if "variance" in variable.name:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


def sequential(*layers, seed=5):
    return randomized(keras.Sequential([keras.Input((6, 5)), *layers]), seed)


def functional(make, seed=5):
    inputs = keras.Input((6, 5))
    return randomized(keras.Model(inputs, make(inputs)), seed)


def change(layer, number, values, *index):
    """Sets the part `index` of the weights numbered `number` of `layer`."""
    weights = layer.get_weights()
    weights[number][index] = values
    layer.set_weights(weights)


def unread(layer, unit):
    """Nothing in the recurrent `layer` reads its unit any more."""
    change(layer, 1, 0.0, unit)


def without_candidate(layer, unit, gates):
    """The candidate of a unit, or of several, of the recurrent `layer` is zero."""
    owner = getattr(layer, "cell", layer)
    units = owner.units
    columns = {4: 2, 3: 2, 1: 0}[gates] * units + np.array(unit)
    for variable in layer.weights[:3]:
        values = variable.numpy()
        values[..., columns] = 0
        variable.assign(values)


def difference(model, x=X):
    """The smaller model, and the largest difference of its outputs, in parts of the largest."""
    small = ksr.remove_dead_units(model)
    both = ([np.asarray(y) for y in keras.tree.flatten(one(x))] for one in (model, small))
    pairs = list(zip(*both))
    assert all(one.shape == other.shape for one, other in pairs)
    return small, max(np.abs(one - other).max() / max(1, np.abs(one).max()) for one, other in pairs)


def sizes(model):
    """The units of the layers that have any."""
    found = []
    for layer in model.layers:
        for name in ("units", "filters", "output_dim"):
            if hasattr(layer, name):
                found.append(getattr(layer, name))
    return found
