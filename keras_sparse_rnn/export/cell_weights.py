"""Which layers our operator runs, and their weights as the file of a cell holds them."""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import layers, ops
from keras_sparse_rnn.export import cell_file
from keras_sparse_rnn.patterns import BlockGrid

# Those that prepared cells are stored in: a kernel gets the one in which it takes fewest bytes.
SHAPES = ((16, 16), (32, 32), (8, 16), (8, 8), (4, 16), (4, 8), (4, 4), (1, 16), (4, 1), (1, 1))
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
# A Dense layer with more live weights than this is left to the runtime.
DENSE_MOST_LIVE = 0.5

_LSTM = keras.layers.LSTM, layers.BlockSparseLSTM
_GRU = keras.layers.GRU, layers.BlockSparseGRU
_SIMPLE_RNN = keras.layers.SimpleRNN, layers.BlockSparseSimpleRNN
_DENSE = keras.layers.Dense, layers.BlockSparseDense
_ACTIVATIONS = {getattr(keras.activations, name): name for name in cell_file.ACTIVATIONS}


@dataclasses.dataclass(frozen=True)
class CellWeights:
    """A layer as a cell: `cell` and `activation` by their names in `cell_file`, float32 kernels
    with their zeros, what int8 activations are scaled by.
    """

    cell: str
    gates: int
    kernels: tuple
    bias: np.ndarray | None
    input_range: float = 0.0
    activation: str = "linear"

    @property
    def units(self):
        """How many there are."""
        return self.kernels[0].shape[1] // self.gates

    @property
    def states(self):
        """How many vectors a state is."""
        return {"lstm": 2, "dense": 0}.get(self.cell, 1)

    @property
    def dense_bytes(self):
        """Of the kernels as dense float32 ones."""
        return sum(kernel.size * 4 for kernel in self.kernels)

    def file(self, weights, activations):
        """The bytes of the file of the cell, its kernels with `weights` of that type."""
        kernel, *recurrent = (
            _packed(kernel, self.gates, weights, activations) for kernel in self.kernels
        )
        return cell_file.write(
            self.cell,
            kernel,
            recurrent[0] if recurrent else None,
            self.bias,
            activation=self.activation,
            activations=activations,
            input_range=self.input_range if activations == "int8" else 0.0,
        )


def of_recurrent(layer):
    """The `CellWeights` of a built recurrent layer, or None where our operator does not compute
    what it does.
    """
    kind, gates = _kind(layer)
    if kind is None:
        return None
    cell = layer.cell
    block_sparse = hasattr(layer, "dense_kernels")
    kernels = (
        layer.dense_kernels()
        if block_sparse
        else (cell.kernel.numpy(), cell.recurrent_kernel.numpy())
    )
    bias = None if cell.bias is None else cell.bias.numpy().astype(np.float32)
    kernels = tuple(kernel.astype(np.float32) for kernel in kernels)
    return CellWeights(kind, gates, kernels, bias, getattr(layer, "input_range", 0.0))


def _kind(layer):
    """The name of a recurrent layer's cell and the number of its gates."""
    gate = getattr(layer, "recurrent_activation", None) in (None, keras.activations.sigmoid)
    tanh = getattr(layer, "activation", None) is keras.activations.tanh and gate
    if type(layer) in _LSTM and tanh:
        return "lstm", 4
    if type(layer) in _GRU and tanh:
        return ("gru" if layer.reset_after else "gru_reset_before"), 3
    if type(layer) in _SIMPLE_RNN and (tanh or layer.activation is keras.activations.relu):
        return ("simple_rnn_tanh" if tanh else "simple_rnn_relu"), 1
    return None, 0


def of_dense(layer):
    """The `CellWeights` of a built Dense layer that was pruned, or None for any other layer."""
    if type(layer) not in _DENSE:
        return None
    block_sparse = hasattr(layer, "dense_kernels")
    (kernel,) = layer.dense_kernels() if block_sparse else (np.asarray(layer.kernel),)
    kernel = kernel.astype(np.float32)
    stored = _stored(kernel, 1, _best_shape(kernel, 1, "float32"), "float32")
    if stored > DENSE_MOST_LIVE * kernel.size * 4:
        return None
    bias = None if layer.bias is None else layer.bias.numpy().astype(np.float32)
    activation = _ACTIVATIONS.get(layer.activation, "linear")
    input_range = getattr(layer, "input_range", 0.0)
    return CellWeights("dense", 1, (kernel,), bias, input_range, activation)


def activation_after(layer, cell):
    """The activation of a Dense layer that the cell leaves to others; None if there is none."""
    return None if layer.activation in _ACTIVATIONS else layer.activation


def _packed(kernel, gates, weights, activations):
    grid = _grid(kernel, gates, _best_shape(kernel, gates, weights))
    values, blocks = grid.pack(kernel)
    packed = ops.PackedKernel(values, blocks, grid)
    if activations == "int8":
        return cell_file.quantized(packed)
    return ops.quantize(packed, weights)


def _grid(kernel, gates, shape):
    return BlockGrid(kernel.shape[0], kernel.shape[1] // gates, gates, shape)


def _best_shape(kernel, gates, weights):
    """The block shape in which the live blocks take fewest bytes, that of the largest blocks where
    several do.
    """
    inputs, units = kernel.shape[0], kernel.shape[1] // gates
    fitting = [shape for shape in SHAPES if shape[0] <= inputs and shape[1] <= units]
    return min(fitting, key=lambda shape: _stored(kernel, gates, shape, weights))


def _stored(kernel, gates, shape, weights):
    """The bytes of the live blocks and of their numbers."""
    live = int(_grid(kernel, gates, shape).live(kernel).sum())
    return live * (shape[0] * shape[1] * BYTES[weights] + 4)
