"""How many gates a kernel has, as far as the kernel itself tells.

Keras calls a regularizer or a constraint with the variable and nothing else. Its shape does not say
it: [24, 24] may be the kernel of an LSTM of 6 units, a GRU of 8 or a SimpleRNN of 24. But its path
does, for the recurrent layers of Keras name their cells by the kind of cell, whatever the layer is
called: `encoder/lstm_cell/kernel`."""

import math
import numbers
import re

import tensorflow as tf

from keras_sparse_rnn.patterns import BlockGrid

CELLS = {
    "lstm_cell": 4,
    "gru_cell": 3,
    "simple_rnn_cell": 1,
    "dense": 1,
    "block_sparse_dense": 1,
    "embedding": 1,
    "conv_lstm_cell": 4,
}
POSSIBLE = (1, 3, 4)


class SeesGates:
    """A regularizer or a constraint that may be told how many gates a kernel has: it is called as
    `self(kernel, gates=4)`, or as Keras does.
    """


def check_gates(gates):
    """Returns `gates`, or raises a `ValueError`."""
    if gates is None:
        return None
    if not isinstance(gates, numbers.Integral) or isinstance(gates, bool) or gates < 1:
        raise ValueError(
            "`gates` must be None or how many gates stand side by side in the kernel: 4 in an "
            f"LSTM, 3 in a GRU, else 1. Received: gates={gates!r}"
        )
    return int(gates)


def find_gates(kernel):
    """How many gates `kernel` has; `None` if that cannot be told, as of a tensor that is no
    variable.

    A variable tells by its path: by the name of the cell or layer that owns it, where Keras has
    chosen that name; or by being a `recurrent_kernel`, `[units, gates * units]`. A kernel of more
    than two axes, as of a convolution, has one gate, but in a ConvLSTM.
    """
    names = getattr(kernel, "path", "").split("/")
    if len(names) > 1:
        owner = re.sub(r"_\d+$", "", names[-2])
        if owner in CELLS:
            return CELLS[owner]
    if (
        names[-1] == "recurrent_kernel"
        and len(kernel.shape) == 2
        and kernel.shape[1] % kernel.shape[0] == 0
    ):
        return kernel.shape[1] // kernel.shape[0]
    return 1 if len(getattr(kernel, "shape", ())) > 2 else None


def as_matrix(kernel):
    """The kernel with all axes but the last made one, as blocks are cut of it."""
    return kernel if len(kernel.shape) <= 2 else tf.reshape(kernel, (-1, kernel.shape[-1]))


def grid_of(shape, gates, block_shape, cutter):
    """The `BlockGrid` that cuts a kernel of `shape` into blocks.

    The number of gates need not be known where it makes no difference: if blocks fit into the gates
    without a rest, whichever number of gates there are, the blocks of all gates together are those
    of one gate.

    Args:
        shape: `(inputs, gates * units)`; the axes before the last count as one.
        gates: an int, or `None` if unknown.
        block_shape: `(rows, columns)` of a block.
        cutter: the object that cuts, for the error.

    Raises:
        ValueError: the kernel has no two axes, its columns are no multiple of `gates`, or `gates`
            is unknown and makes a difference.
    """
    name = type(cutter).__name__
    if len(shape) < 2:
        raise ValueError(
            f"{name} takes kernels [inputs, gates * units]. Received: a kernel of shape "
            f"{tuple(shape)}"
        )
    inputs, columns = math.prod(shape[:-1]), shape[-1]
    if gates is None:
        possible = [count for count in POSSIBLE if columns % count == 0]
        if any(columns // count % block_shape[1] for count in possible if count > 1):
            raise ValueError(
                f"`gates` of {name} cannot be told from a kernel of shape {tuple(shape)}, whose "
                f"gates are cut apart into blocks of {block_shape[1]} columns: pass gates=4 for an "
                "LSTM, gates=3 for a GRU, gates=1 for any other layer. Received: gates=None"
            )
        gates = 1
    if columns % gates:
        raise ValueError(
            f"`gates` of {name} must divide the columns of the kernel. Received: gates={gates}, "
            f"a kernel of shape {tuple(shape)}"
        )
    gates = 1 if columns // gates % block_shape[1] == 0 else gates
    return BlockGrid(inputs, columns // gates, gates, block_shape)
