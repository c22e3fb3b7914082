"""Layers as cells, with their weights as the file of a cell holds them, and which of them our
operator runs.
"""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import layers, ops
from keras_sparse_rnn.export import cell_file, cells
from keras_sparse_rnn.patterns import BlockGrid

GATES = {"lstm": 4, "gru": 3, "gru_reset_before": 3}  # of the other cells: 1
# Those that cells of our operator are stored in: a kernel gets the one of fewest bytes.
SHAPES = ((16, 16), (32, 32), (8, 16), (8, 8), (4, 16), (4, 8), (4, 4), (1, 16), (4, 1), (1, 1))
CELLS = keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
# A Dense layer with more live weights than this is left to the runtime.
DENSE_MOST_LIVE = 0.5

_DENSE = keras.layers.Dense, layers.BlockSparseDense
_ACTIVATIONS = {getattr(keras.activations, name): name for name in cell_file.ACTIVATIONS}


@dataclasses.dataclass(frozen=True)
class CellWeights:
    """A layer as a cell: `cell` and `activation` by their names in `cell_file`, float32 kernels
    with their zeros, what int8 activations are scaled by.
    """

    cell: str
    kernels: tuple
    bias: np.ndarray | None
    input_range: float = 0.0
    activation: str = "linear"

    @property
    def gates(self):
        """How many stand side by side in a kernel."""
        return GATES.get(self.cell, 1)

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

    def smallest(self, native, weights, activations):
        """The kernels as `ops.PackedKernel`s with `weights` of that type, in the blocks in which
        they take fewest bytes. `native`: as in `cell_file.write`.
        """
        packed = [
            pack(kernel, grid_of(kernel, self.gates, _best_shape(kernel, self.gates, weights)))
            for kernel in self.kernels
        ]
        if activations == "int8":
            return [cell_file.quantized(native, kernel) for kernel in packed]
        return [ops.quantize(kernel, weights) for kernel in packed]

    def file(self, native, kernels, activations):
        """The bytes of the file of the cell with `kernels`, its own as `ops.PackedKernel`s.
        `native`: as in `cell_file.write`.
        """
        return cell_file.write(
            native,
            self.cell,
            kernels,
            self.bias,
            activation=self.activation,
            activations=activations,
            input_range=self.input_range if activations == "int8" else 0.0,
        )


def recurrent(layer, activation):
    """The `CellWeights` of a built recurrent layer of Keras, of its block-sparse twin, or of a cell
    of Keras, which has the `activation` `"tanh"` or, if it is a SimpleRNN, `"relu"`.
    """
    inner = getattr(layer, "cell", layer)
    if isinstance(inner, keras.layers.SimpleRNNCell):
        cell = f"simple_rnn_{activation}"
    elif isinstance(inner, keras.layers.LSTMCell):
        cell = "lstm"
    else:
        cell = "gru" if inner.reset_after else "gru_reset_before"
    kernels, bias = cells.weights_of(layer)
    return CellWeights(cell, kernels, bias, getattr(layer, "input_range", 0.0))


def dense(layer, activation):
    """The `CellWeights` of a built Dense layer or of its block-sparse twin; `activation`: one of
    `cell_file.ACTIVATIONS`.
    """
    kernels, bias = cells.weights_of(layer)
    return CellWeights("dense", kernels, bias, getattr(layer, "input_range", 0.0), activation)


def of_recurrent(layer):
    """The `CellWeights` of a built recurrent layer, or None where our operator does not compute
    what it does.
    """
    if type(layer) not in cells.KINDS:
        return None
    gate = getattr(layer, "recurrent_activation", None) in (None, keras.activations.sigmoid)
    if layer.activation is keras.activations.tanh and gate:
        return recurrent(layer, "tanh")
    relu = layer.activation is keras.activations.relu
    return recurrent(layer, "relu") if relu and isinstance(layer, keras.layers.SimpleRNN) else None


def of_dense(layer):
    """The `CellWeights` of a built Dense layer that was pruned, or None for any other layer."""
    if type(layer) not in _DENSE or getattr(layer, "quantization_mode", None):
        return None
    cell = dense(layer, _ACTIVATIONS.get(layer.activation, "linear"))
    (kernel,) = cell.kernels
    stored = _stored(kernel, 1, _best_shape(kernel, 1, "float32"), "float32")
    return None if stored > DENSE_MOST_LIVE * kernel.size * 4 else cell


def activation_after(layer, cell):
    """The activation of a Dense layer that the cell leaves to others; None if there is none."""
    return None if layer.activation in _ACTIVATIONS else layer.activation


def pack(kernel, grid):
    """A dense float32 kernel as an `ops.PackedKernel` of its live blocks."""
    values, blocks = grid.pack(kernel)
    return ops.PackedKernel(values, blocks, grid)


def grid_of(kernel, gates, shape):
    """The `BlockGrid` of a kernel in blocks of that shape."""
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
    live = int(grid_of(kernel, gates, shape).live(kernel).sum())
    return live * (shape[0] * shape[1] * BYTES[weights] + 4)
