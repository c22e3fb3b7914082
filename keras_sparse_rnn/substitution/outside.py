"""Layers that a Sequential or functional model holds, and that are not in its graph: a teacher that
its `compile` has stored, say.

They are attributes of the object. A copy has those that its constructor makes or is given."""

import warnings

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import PREDICTING, overridden


def outside(model):
    """`{name of the attribute: list of layers}` for the layers that a Sequential or functional
    `model` has in attributes, or in lists and dicts in them, and not in its graph.
    """
    graph = [model, private_keras.graph_of(model), *model.layers]
    if isinstance(model, keras.Sequential):  # which has its input as a layer, too
        graph += private_keras.inner_layers(model, include_self=False, recursive=False)
    inside = {id(layer) for layer in graph}
    found = {}
    for name, value in vars(model).items():
        values = value.values() if isinstance(value, dict) else value
        values = list(values) if isinstance(value, (dict, list, tuple, set)) else [value]
        layers = [one for one in values if isinstance(one, keras.Layer) and id(one) not in inside]
        if layers and name not in private_keras.BOOKKEEPING:
            found[name] = layers
    return found


def lacking(old, new):
    """The part of `outside(old)` under whose names `new`, a copy of `old`, has nothing."""
    return {
        name: layers for name, layers in outside(old).items() if getattr(new, name, None) is None
    }


def idle(model):
    """The layers outside of the graph of `model`, and those in them, if nothing that it predicts
    can depend on them.
    """
    if overridden(model, PREDICTING):
        return []
    return [
        inner
        for layers in outside(model).values()
        for layer in layers
        for inner in private_keras.inner_layers(layer)
    ]


def warn_of_lacking(old, new, stacklevel):
    """Names the attributes with layers that a copy does not have, in a `UserWarning`."""
    if names := lacking(old, new):
        listed = ", ".join(f"`{name}`" for name in names)
        warnings.warn(
            f"{old.name!r} loses its {listed}, layers outside of its graph: call what has set "
            "them, a `compile` of its own for example, on the new model, too.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
