"""Steps of a model's file, as layers are made of them."""

import keras
import numpy as np

from keras_sparse_rnn.export.c import cells, file
from keras_sparse_rnn.ops.choice import activation_name


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
        """`(weights, activations, input_range)` that the layer's cell gets."""
        if getattr(layer, "weights_choice", "float32") != "float32":
            return layer.weights_choice, layer.activations_choice, layer.input_range
        return self.weights, self.activations, 0.0

    def cell(self, layer, kind, kernels, bias, source, units, activation=0):
        """Writes a step with a cell."""
        _, activations, input_range = self.precision_of(layer)
        options = {"activations": activations, "input_range": input_range}
        bias = None if bias is None else array(bias)
        content = cells.cell_file(kind, kernels, bias, activation=activation, **options)
        return self.file.step(file.CELL, source, units, data=content)

    def activate(self, name, source):
        """Writes a step with an activation."""
        if name == "linear":
            return source
        options = {"activation": cells.ACTIVATIONS.index(name)}
        return self.file.step(file.ACTIVATION, source, self.width(source), **options)

    def affine(self, scale, offset, source):
        """Writes a step that scales and adds."""
        width = self.width(source)
        numbers = [np.broadcast_to(np.asarray(x, np.float32), width) for x in (scale, offset)]
        data = np.concatenate(numbers).astype("<f4").tobytes()
        return self.file.step(file.AFFINE, source, width, data=data)


def array(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def activation_of(layer, function, choices=cells.ACTIVATIONS):
    """The name of an activation that there is a kernel for."""
    name = activation_name(function)
    name = {"swish": "silu", None: getattr(function, "__name__", function)}.get(name, name)
    if name not in choices or activation_name(function) is None:
        raise Refused(f"it has the activation {name}; use one of {', '.join(choices)}")
    return name
