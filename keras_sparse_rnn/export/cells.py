"""The cells of a model's recurrent layers, with their weights as they go into a file."""

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
    cell = layer.cell
    block_sparse = hasattr(layer, "dense_kernels")
    kernels = (
        layer.dense_kernels()
        if block_sparse
        else (cell.kernel.numpy(), cell.recurrent_kernel.numpy())
    )
    bias = None if cell.bias is None else cell.bias.numpy().astype(np.float32)
    options = {name: getattr(cell, name) for name in OPTIONS if hasattr(cell, name)}
    kernel, recurrent_kernel = (kernel.astype(np.float32) for kernel in kernels)
    return KINDS[type(layer)](kernel, recurrent_kernel, bias, **options)
