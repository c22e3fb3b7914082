"""Which class of layer is whose twin, and the arguments that one takes over from the other."""

import keras

from keras_sparse_rnn.layers import (
    BlockSparseCell,
    BlockSparseDense,
    BlockSparseGRU,
    BlockSparseLSTM,
    BlockSparseSimpleRNN,
)
from keras_sparse_rnn.layers.arguments import forgotten_arguments
from keras_sparse_rnn.substitution.copying import copy_from_config

TWINS = {
    keras.layers.LSTM: BlockSparseLSTM,
    keras.layers.GRU: BlockSparseGRU,
    keras.layers.SimpleRNN: BlockSparseSimpleRNN,
    keras.layers.Dense: BlockSparseDense,
}
# A cell that stands by itself has a twin, too: a `BlockSparseCell` of such a layer.
CELL_TWINS = {
    keras.layers.LSTMCell: BlockSparseLSTM,
    keras.layers.GRUCell: BlockSparseGRU,
    keras.layers.SimpleRNNCell: BlockSparseSimpleRNN,
}
PARENTS = {twin: parent for parent, twin in TWINS.items()}
OWN_ARGUMENTS = (
    "block_shape",
    "recurrent_block_shape",
    "recurrent_pattern",
    "sparsity",
    "recurrent_sparsity",
    "keep_diagonal",
    "storage",
    "kernel",
    "live_blocks",
    "weights",
    "activations",
    "input_range",
    "low_precision",
)
# Arguments that a config would carry as text: passed as the objects that they are, so that
# unregistered ones survive.
LIVE_ARGUMENTS = ("activation", "initializer", "regularizer", "constraint")


def is_block_sparse(layer):
    """Whether `layer` is one of `keras_sparse_rnn.layers`."""
    return type(layer) in PARENTS or type(layer) is BlockSparseCell


def is_cell(layer):
    """Whether `layer` is the cell of an LSTM, a GRU or a SimpleRNN, Keras's or block-sparse."""
    return type(layer) in CELL_TWINS or type(layer) is BlockSparseCell


def is_recurrent(layer):
    """Whether `layer` has a recurrent kernel, if it `has_twin`."""
    return isinstance(layer, keras.layers.RNN) or is_cell(layer)


def stepped(layer):
    """The layer of which a `BlockSparseCell` takes one step; any other layer itself."""
    return layer.layer if type(layer) is BlockSparseCell else layer


def twin_class(layer):
    """The block-sparse class that computes what `layer` does, for one that is block-sparse itself
    its own, for a cell that of the layer which the twin steps; None if there is none. Subclasses
    have none: they may compute something else.
    """
    if is_block_sparse(layer):
        return type(stepped(layer))
    if is_cell(layer):
        return CELL_TWINS[type(layer)]
    if type(layer) is keras.layers.RNN:
        cell = layer.cell
        of_one_dtype = getattr(cell, "dtype_policy", None) == layer.dtype_policy
        return CELL_TWINS.get(type(cell)) if of_one_dtype else None
    return TWINS.get(type(layer))


def has_twin(layer):
    """Whether `layer` is a Keras layer that has a block-sparse twin, or such a twin."""
    return twin_class(layer) is not None


def owner_of(layer):
    """The object that has the weights of `layer`: its cell, or itself."""
    layer = stepped(layer)
    return layer.cell if isinstance(layer, keras.layers.RNN) else layer


def parent_arguments(layer):
    """The arguments of `layer` that the Keras class of its twin takes."""
    owner, config = owner_of(layer), layer.get_config()
    if type(layer) is keras.layers.RNN:
        config.pop("cell")
        cell = {name: value for name, value in owner.get_config().items() if name not in config}
        config.update(cell)
    config = {name: value for name, value in config.items() if name not in OWN_ARGUMENTS}
    for name in config:
        if name.endswith(LIVE_ARGUMENTS):
            holder = layer if hasattr(layer, name) else owner
            config[name] = _own(getattr(holder, name))
    if is_recurrent(layer):
        config.update(forgotten_arguments(layer, owner))
    return config


def _own(argument):
    """Arguments are shared between twins. One that has a state is copied: weights of its own, such
    as those of `regularizers.TrainableModuli` or of a `PReLU`, each twin trains for itself; and
    the strength of a penalty is changed, or follows an optimizer, in one of them.
    """
    if isinstance(argument, keras.Layer):
        copy = copy_from_config(argument)
        build_config = argument.get_build_config() if argument.built else None
        if copy is not argument and build_config:
            copy.build_from_config(build_config)
        return copy
    if not isinstance(argument, (keras.regularizers.Regularizer, keras.constraints.Constraint)):
        return argument
    state = {
        name: value for name, value in vars(argument).items() if isinstance(value, keras.Variable)
    }
    if not state:
        return argument
    try:
        copy = type(argument).from_config(argument.get_config())
    except (TypeError, ValueError, NotImplementedError):  # the user's own, without a config
        return argument
    for name, value in state.items():
        getattr(copy, name).assign(value)
    return copy
