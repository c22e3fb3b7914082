"""Writes the files of prepared cells that `docs/format.md` describes, by `ksr_file_write` of
`ksr.h`.
"""

import ctypes

import numpy as np

from keras_sparse_rnn import ops
from ksr_runtime.library import VERSION, Error

# By their numbers in ksr.h.
CELLS = ("lstm", "gru", "gru_reset_before", "simple_rnn_tanh", "simple_rnn_relu", "dense")
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "hard_sigmoid", "silu", "softmax")
TYPES = ("float32", "bfloat16", "int8")


class CellError(ValueError):
    """Weights that make no cell."""


class _Matrix(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("inputs", "units", "gates")),
        *((name, ctypes.c_int64) for name in ("block_rows", "block_columns", "live")),
        *((name, ctypes.c_void_p) for name in ("values", "blocks", "scales")),
    ]


class _Description(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("cell", "activation", "activations")),
        ("input_range", ctypes.c_float),
        ("kernel", _Matrix),
        ("recurrent", _Matrix),
        ("bias", ctypes.c_void_p),
        ("processor", ctypes.c_char_p),
    ]


def write(native, cell, kernels, bias, *, activation, activations, input_range):
    """The bytes of the file of a cell, a multiple of 64.

    Args:
        native: a library that has the functions of `ksr.h`, loaded.
        cell: one of `CELLS`.
        kernels: `ops.PackedKernel`s of float32, bfloat16 or int8 values: the kernel `[inputs,
            gates * units]` and, but for `"dense"`, the recurrent one `[units, gates * units]`.
        bias: float array of `gates * units` numbers, twice as many for `"gru"`; or None.
        activation: one of `ACTIVATIONS`, for `"dense"`.
        activations: `"float32"` or `"int8"`, what inputs and states are rounded to.
        input_range: the largest input in absolute value, of int8 activations; 0: that of each step.

    Raises:
        CellError: the description is not right.
    """
    kept = []  # what the description points to
    matrices = [_matrix(kernel, kept) for kernel in kernels]
    description = _Description(
        version=VERSION,
        cell=CELLS.index(cell),
        activation=ACTIVATIONS.index(activation),
        activations=TYPES.index(activations),
        input_range=input_range,
        kernel=matrices[0],
        recurrent=matrices[1] if len(matrices) > 1 else _Matrix(),
        bias=None if bias is None else _pointer(np.asarray(bias, np.float32), kept),
    )
    size, error = ctypes.c_size_t(), Error()
    _check(native.ksr_file_size(ctypes.byref(description), ctypes.byref(size), _at(error)), error)
    content = np.zeros(size.value, np.uint8)
    memory = ctypes.c_void_p(content.ctypes.data)
    _check(native.ksr_file_write(ctypes.byref(description), memory, size, _at(error)), error)
    return content.tobytes()


def quantized(native, packed):
    """A packed kernel of float values as the int8 one that int8 activations are multiplied with: no
    two weights that a processor may add up in 16 bits are too large for that.
    """
    kept, error = [], Error()
    values = np.zeros(np.shape(packed.values), np.int8)
    scales = np.zeros(ops.quantization.scales_shape(packed.grid), np.float32)
    places = (ctypes.c_void_p(array.ctypes.data) for array in (values, scales))
    matrix = _matrix(packed, kept)
    _check(native.ksr_quantize(ctypes.byref(matrix), *places, _at(error)), error)
    return packed._replace(values=values, scales=scales)


def _at(error):
    return ctypes.byref(error)


def _check(status, error):
    if status:
        raise CellError(error.text.decode())


def _matrix(packed, kept):
    grid, values = packed.grid, np.asarray(packed.values)
    return _Matrix(
        type=TYPES.index(values.dtype.name),
        inputs=grid.inputs,
        units=grid.units,
        gates=grid.gates,
        block_rows=grid.block_shape[0],
        block_columns=grid.block_shape[1],
        live=len(values),
        values=_pointer(values, kept),
        blocks=_pointer(np.asarray(packed.blocks, np.int32), kept),
        scales=None if packed.scales is None else _pointer(np.asarray(packed.scales), kept),
    )


def _pointer(array, kept):
    array = np.ascontiguousarray(array)
    kept.append(array)
    return array.ctypes.data
