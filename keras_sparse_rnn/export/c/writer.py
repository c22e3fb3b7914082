"""Steps of a model's file, as layers are made of them."""

import numpy as np

from keras_sparse_rnn.export.c import file
from keras_sparse_rnn.export.cell_file import ACTIVATIONS
from keras_sparse_rnn.ops.choice import activation_name
from ksr_runtime import library


class Refused(Exception):
    """Why a layer cannot be exported, and what to do."""


class Writer:
    """Writes steps.

    Args:
        weights: `"float32"`, `"bfloat16"` or `"int8"`, of layers that are not quantised already.
        activations: `"float32"` or `"int8"`, of the same layers.
    """

    def __init__(self, weights, activations):
        self.file = file.ModelFile()
        self.weights, self.activations = weights, activations

    def width(self, register):
        return self.file.widths[register]

    def precision_of(self, layer):
        """`(weights, activations)` that the layer's cell gets."""
        if getattr(layer, "weights_choice", "float32") != "float32":
            return layer.weights_choice, layer.activations_choice
        return self.weights, self.activations

    def cell(self, cell, kernels, activations, source):
        """Writes a step with a cell, a `CellWeights`, and its packed `kernels`."""
        content = cell.file(library.library(), kernels, activations)
        return self.file.step(file.CELL, source, cell.units, data=content)

    def activate(self, name, source):
        """Writes a step with an activation."""
        if name == "linear":
            return source
        options = {"activation": ACTIVATIONS.index(name)}
        return self.file.step(file.ACTIVATION, source, self.width(source), **options)

    def affine(self, scale, offset, source):
        """Writes a step that scales and adds."""
        width = self.width(source)
        return self.file.step(file.AFFINE, source, width, data=_rows([scale, offset], width))

    def normalize(self, kind, numbers, epsilon, source):
        """Writes a step that normalizes a frame: `kind` LAYER_NORM, of a scale and an offset, or
        RMS_NORM, of a scale.
        """
        width = self.width(source)
        data = _rows(numbers, width) + np.float32(epsilon).tobytes()
        return self.file.step(kind, source, width, data=data)

    def clip(self, low, high, source):
        """Writes a step that gives numbers from `low` to `high`."""
        return self.file.step(file.CLIP, source, self.width(source), data=_rows([low, high], 1))

    def add(self, one, other):
        """Writes a step that adds two registers."""
        return self.file.step(file.ADD, one, self.width(one), other=other)

    def subtract(self, one, other):
        """Writes steps that subtract a register from another."""
        return self.add(one, self.affine(-1.0, 0.0, other))

    def multiply(self, one, other):
        """Writes a step that multiplies two registers."""
        return self.file.step(file.MULTIPLY, one, self.width(one), other=other)


def _rows(numbers, width):
    """Each of `numbers` for all numbers of a frame, as a file has them."""
    with np.errstate(over="ignore"):
        arrays = [np.asarray(each).astype(np.float32) for each in numbers]
    for each in arrays:
        if not np.isfinite(each).all():
            wrong = each[~np.isfinite(each)][0]
            raise Refused(f"it has {wrong} among its numbers; they must be finite in float32")
    rows = [np.broadcast_to(each.reshape(each.shape[-1:]), width) for each in arrays]
    return np.concatenate(rows).astype("<f4").tobytes()


def native_name(function):
    """The name of an activation that there is a kernel for, or None."""
    name = activation_name(function)
    return name if name in ACTIVATIONS else {"swish": "silu"}.get(name)
