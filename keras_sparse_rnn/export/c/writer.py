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
        numbers = [np.asarray(x, np.float32) for x in (scale, offset)]
        numbers = [np.broadcast_to(x.reshape(x.shape[-1:]), width) for x in numbers]
        data = np.concatenate(numbers).astype("<f4").tobytes()
        return self.file.step(file.AFFINE, source, width, data=data)


def activation_of(layer, function, choices=ACTIVATIONS):
    """The name of an activation that there is a kernel for."""
    name = activation_name(function)
    name = {"swish": "silu", None: getattr(function, "__name__", function)}.get(name, name)
    if name not in choices or activation_name(function) is None:
        raise Refused(f"it has the activation {name}; use one of {', '.join(choices)}")
    return name
