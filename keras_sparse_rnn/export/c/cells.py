"""Cells as files of `ksr.h`: packed kernels of any type of weights, checked by the library."""

import ctypes

import numpy as np

from keras_sparse_rnn import ops
from keras_sparse_rnn.export.c.file import TYPES
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.substitution.block_shapes import best_block_shape
from ksr_runtime import library

LSTM, GRU, GRU_RESET_BEFORE, SIMPLE_RNN_TANH, SIMPLE_RNN_RELU, DENSE = range(6)
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "hard_sigmoid", "silu", "softmax")


class Matrix(ctypes.Structure):
    """`ksr_matrix`."""

    _fields_ = [
        ("type", ctypes.c_int32),
        ("inputs", ctypes.c_int64),
        ("units", ctypes.c_int64),
        ("gates", ctypes.c_int64),
        ("block_rows", ctypes.c_int64),
        ("block_columns", ctypes.c_int64),
        ("live", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    ]


class Description(ctypes.Structure):
    """`ksr_description`."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("cell", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("activations", ctypes.c_int32),
        ("input_range", ctypes.c_float),
        ("kernel", Matrix),
        ("recurrent", Matrix),
        ("bias", ctypes.c_void_p),
        ("processor", ctypes.c_char_p),
    ]


def packed(kernel, gates, weights, activations, grid=None):
    """A dense kernel `[inputs, gates * units]` as an `ops.PackedKernel` of its live blocks.

    `grid`: its `BlockGrid`; None for the blocks in which it costs least.
    """
    kernel = np.asarray(kernel, np.float32)
    if grid is None:
        shape = best_block_shape(kernel, gates)
        grid = BlockGrid(kernel.shape[0], kernel.shape[1] // gates, gates, shape)
    values, blocks = grid.pack(kernel)
    return ops.quantize(ops.PackedKernel(values, blocks, grid), weights, activations)


def cell_file(kind, kernels, bias, *, activation=0, activations="float32", input_range=0.0):
    """The file of a cell.

    Args:
        kind: a `ksr_cell_kind`.
        kernels: `ops.PackedKernel`s: the kernel and, but for Dense, the recurrent kernel.
        bias: float32 as Keras has it, or None.
        activation: of a Dense cell, a `ksr_activation`.
        activations, input_range: as in `ops.block_sparse_lstm`.

    Raises:
        ValueError: the library refuses it, in its words.
    """
    native, kept = library.library(), []
    description = Description(version=library.VERSION, cell=kind, activation=activation)
    description.activations, description.input_range = TYPES[activations], input_range
    for name, kernel in zip(("kernel", "recurrent"), kernels):
        setattr(description, name, _matrix(kernel, kept))
    if bias is not None:
        description.bias = _address(np.asarray(bias, np.float32), kept)
    error, size = library.Error(), ctypes.c_size_t()
    reference = ctypes.byref(description)
    status = native.ksr_file_size(reference, ctypes.byref(size), ctypes.byref(error))
    content = ctypes.create_string_buffer(size.value)
    if not status:
        status = native.ksr_file_write(reference, content, size, ctypes.byref(error))
    if status:
        raise ValueError(error.text.decode())
    return content.raw


def _matrix(kernel, kept):
    """The `ksr_matrix` of a packed kernel, whose arrays go to `kept`."""
    values, grid = np.asarray(kernel.values), kernel.grid
    matrix = Matrix(TYPES[str(values.dtype)], grid.inputs, grid.units, grid.gates)
    matrix.block_rows, matrix.block_columns = grid.block_shape
    matrix.live = len(values)
    matrix.values = _address(values, kept)
    matrix.blocks = _address(np.asarray(kernel.blocks, np.int32), kept)
    if kernel.scales is not None:
        matrix.scales = _address(np.asarray(kernel.scales, np.float32), kept)
    return matrix


def _address(array, kept):
    array = np.ascontiguousarray(array)
    kept.append(array)
    return array.ctypes.data
