"""Which layers stand in which, as `Rebuilder` can put others in their places."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.kinds import has_twin
from keras_sparse_rnn.substitution.references import traced_methods

CELL_HOLDERS = (keras.layers.RNN, keras.layers.StackedRNNCells)
OF_ONE_CELL = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)


def sublayers(layer):
    """The layers inside `layer` that `Rebuilder` can replace. In a layer with methods that are
    `tf.function`s it cannot: they may go on with what they were traced with.
    """
    if is_rebuildable(layer):
        return layer.layers
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if isinstance(layer, keras.layers.Wrapper):
        return [layer.layer]
    if type(layer) in CELL_HOLDERS:
        return [one for one in cells_of(layer) if isinstance(one, keras.Layer)]
    if is_users(layer):
        inside = private_keras.inner_layers(layer, include_self=False, recursive=False)
        # A subclass of a Keras layer asks its cell for weights and settings.
        own = layer.cell if isinstance(layer, OF_ONE_CELL) else None
        return [one for one in inside if one is not own]
    return []


def is_users(layer):
    """Whether `layer` is of a class whose code calls the layers that it holds."""
    return not (
        is_rebuildable(layer)
        or isinstance(layer, keras.layers.Wrapper)
        or has_twin(layer)
        or not isinstance(layer, keras.Layer)
        or type(layer).__module__.split(".")[0] == "keras"
        or traced_methods(layer)
    )


def cells_of(layer):
    """The cells that a layer of Keras's in `CELL_HOLDERS` holds: layers, or any objects."""
    return [layer.cell] if isinstance(layer, keras.layers.RNN) else list(layer.cells)


def keeps_its_place(layer):
    """Whether a layer of Keras's, in a model that is converted as it stands, stays there with
    another layer inside. (Other wrappers may know variables of the one that they had.)
    """
    return type(layer) in (*CELL_HOLDERS, keras.layers.TimeDistributed)


def walk(layer):
    """`layer` and everything in it that can be replaced, each once, outer layers first."""
    seen, todo = set(), [layer]
    while todo:
        layer = todo.pop(0)
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            todo.extend(sublayers(layer))
