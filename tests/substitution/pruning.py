"""Small models, and random weights for them of which whole blocks are zero."""

import keras
import numpy as np

from keras_sparse_rnn.patterns import Block

RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)


def prune(model, block_shape=(4, 4), sparsity=0.6, seed=0):
    """Gives every recurrent layer random weights, no bias zero, and zero blocks; every other layer
    random weights. Returns `model`.
    """
    generator = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, RECURRENT):
            weights = [
                generator.normal(scale=0.3, size=weight.shape).astype("float32")
                for weight in layer.get_weights()
            ]
            gates = weights[1].shape[1] // weights[1].shape[0]
            for index in (0, 1):
                grid = Block(block_shape).grid(weights[index].shape, gates)
                weights[index] *= grid.expand(
                    Block(block_shape).keep(grid, weights[index], sparsity)
                )
            layer.set_weights(weights)
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights(
                [generator.normal(scale=0.3, size=weight.shape) for weight in layer.get_weights()]
            )
    return model


def data(model, batch=6, seed=0):
    """Random inputs of a model, in the structure of its inputs."""
    generator = np.random.default_rng(seed)

    def of(tensor):
        first, *others = tensor.shape
        shape = [
            batch if first is None else first,
            *(5 if size is None else size for size in others),
        ]
        if "int" in str(tensor.dtype):
            return generator.integers(0, 7, shape).astype("int32")
        return generator.normal(size=shape).astype("float32")

    return (
        of(model.inputs[0])
        if isinstance(model, keras.Sequential)
        else keras.tree.map_structure(of, model.input)
    )


def targets(model, x, seed=1):
    """Random targets of a model, in the structure of its outputs."""
    generator = np.random.default_rng(seed)
    return keras.tree.map_structure(
        lambda out: generator.normal(size=out.shape).astype("float32"), model(x)
    )


def largest_difference(one, other):
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def parts(units=9):
    """The layers of a small Sequential model."""
    return [keras.Input((5, 6)), keras.layers.LSTM(units), keras.layers.Dense(2)]


def graph(units=9):
    """The inputs and outputs of a small functional model."""
    x = keras.Input((5, 6))
    return x, keras.layers.Dense(2)(keras.layers.LSTM(units)(x))


def nested(inner):
    """A functional model that holds one of these."""
    x = keras.Input((5, 6))
    return keras.Model(x, keras.layers.Dense(3)(inner(x)))


def lstm_model(units=32, inputs=32):
    return keras.Sequential(
        [
            keras.Input((4, inputs)),
            keras.layers.LSTM(units, name="it"),
            keras.layers.Dense(3, name="head"),
        ]
    )


def model_and_data(recurrent=None):
    """A pruned model that is quick to train, inputs and targets."""
    x = keras.Input((2, 6))
    h = keras.layers.SimpleRNN(9, return_sequences=True)(x) if recurrent is None else recurrent(x)
    model = prune(keras.Model(x, keras.layers.Dense(2)(keras.layers.SimpleRNN(7)(h))))
    return model, data(model, 12), targets(model, data(model, 12))
