"""The weights of layers as they go into a file, and the cells of recurrent ones."""

import keras
import numpy as np

from keras_sparse_rnn import layers
from keras_sparse_rnn.ops import equations

KINDS = {
    keras.layers.LSTM: equations.LSTM,
    keras.layers.GRU: equations.GRU,
    keras.layers.SimpleRNN: equations.SimpleRNN,
    layers.BlockSparseLSTM: equations.LSTM,
    layers.BlockSparseGRU: equations.GRU,
    layers.BlockSparseSimpleRNN: equations.SimpleRNN,
}
OPTIONS = ("activation", "recurrent_activation", "reset_after")


def of(layer):
    """The `ops.equations.Cell`, on float32 arrays, of a built `LSTM`, `GRU`, `SimpleRNN` or
    block-sparse twin of these; None for any other layer, subclasses included.
    """
    if type(layer) not in KINDS:
        return None
    kernels, bias = weights_of(layer)
    options = {name: getattr(layer.cell, name) for name in OPTIONS if hasattr(layer.cell, name)}
    return KINDS[type(layer)](*kernels, bias, **options)


def weights_of(layer):
    """The dense kernels of a built recurrent or Dense layer, a tuple, and its bias, which may be
    None; float32 arrays.
    """
    owner = getattr(layer, "cell", layer)
    if hasattr(layer, "dense_kernels"):
        kernels = layer.dense_kernels()
    else:
        names = ("kernel", "recurrent_kernel")
        kernels = (getattr(owner, name) for name in names if hasattr(owner, name))
    bias = None if owner.bias is None else array(owner.bias)
    return tuple(array(kernel) for kernel in kernels), bias


def array(variable):
    """A variable or a tensor as a float32 array."""
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
