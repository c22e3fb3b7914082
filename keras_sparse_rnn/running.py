"""What is changed in a model while it runs for a purpose of ours, and put back afterwards."""

import contextlib

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras

_MISSING = object()


@contextlib.contextmanager
def swapped(swaps):
    """Lets other functions run for methods of layers, `(layer, method, function)`, or gives other
    values to attributes, while it lasts.

    What runs is an instance attribute over the method, taken off at the end. So this reaches the
    layers of a subclassed model, too, which cannot be rebuilt from other layers.
    """
    before = []
    try:
        for layer, name, value in swaps:
            before.append((layer, name, vars(layer).get(name, _MISSING)))
            object.__setattr__(layer, name, value)  # past Keras, which would track what is set
        yield
    finally:
        for layer, name, value in reversed(before):
            vars(layer).pop(name, None)
            if value is not _MISSING:
                object.__setattr__(layer, name, value)


def recurrent_layers(model):
    """The recurrent layers of a model."""
    return [
        layer for layer in private_keras.inner_layers(model) if isinstance(layer, keras.layers.RNN)
    ]


def states_of(model):
    """The state variables of the stateful layers."""
    return [
        state
        for layer in recurrent_layers(model)
        if layer.stateful and layer.states
        for state in keras.tree.flatten(layer.states)
    ]


@contextlib.contextmanager
def states_at_zero(model):
    """Sets the states of stateful layers to zero, and back at the end."""
    states = states_of(model)
    before = [keras.ops.convert_to_numpy(state).copy() for state in states]
    try:
        for state in states:
            state.assign(keras.ops.zeros_like(state))
        yield
    finally:
        for state, value in zip(states, before):
            state.assign(value)


def mask_of_steps(mask):
    """The mask that Keras gives a recurrent layer's `inner_loop` as booleans `[batch, steps]`; None
    if there is none. It may come in a list, as numbers, and with a third axis of size 1.
    """
    if keras.tree.is_nested(mask):
        mask = mask[0]
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    return mask[..., 0] if len(mask.shape) == 3 else mask
