"""The inputs of the exported file: names, types and sizes."""

import operator
import re

import keras
import tensorflow as tf

from keras_sparse_rnn.export.checks import DYNAMIC

# The lengths that an open sequence is run with, those of the first run and of the second, until one
# suits the model.
LENGTHS = (100, 240, 1008), (13, 48, 144, 336, 2016)


def inputs_of(model, input_signature):
    """Returns `(structure, specs)`: the structure that `model` takes its inputs in, and a flat list
    of objects with shape, dtype and name.
    """
    structure = input_signature
    if structure is None and getattr(model, "inputs", None):
        structure = getattr(model, "_inputs_struct", None)
        structure = model.inputs if structure is None else structure
        if isinstance(structure, (list, tuple)) and len(structure) == 1:
            structure = structure[0]
    if structure is None:
        raise ValueError(
            "`input_signature` must be given for a model that is not functional or Sequential: a "
            "keras.KerasTensor or tf.TensorSpec, or a structure of them. Received: "
            f"input_signature=None, model={model.name!r}"
        )
    return structure, keras.tree.flatten(structure)


def unique(names):
    """`names` as identifiers, made different from each other by numbers at their ends."""
    taken = []
    for name in names:
        name = re.sub(r"\W", "_", name)
        taken.append(
            next(
                each
                for each in (name, *(f"{name}_{n}" for n in range(1, len(names) + 1)))
                if each not in taken
            )
        )
    return taken


def specs_of(model, specs, batch_size, steps):
    """The flat list of named `tf.TensorSpec` that the file gets. None in a shape means that the
    size is given when the file is run.

    Raises:
        ValueError: `batch_size` or `steps` contradict the model, or an axis besides batch and steps
            is open.
    """
    sized = []
    lengths = [spec.shape[1] for spec in specs if len(spec.shape) > 1]
    if steps is not None and None not in lengths and steps not in lengths:
        raise ValueError(_contradiction("steps", steps, model, lengths))
    for spec, name in zip(
        specs, unique([getattr(spec, "name", None) or "input" for spec in specs])
    ):
        shape = list(spec.shape)
        if shape and batch_size is not None and shape[0] not in (None, batch_size):
            raise ValueError(_contradiction("batch_size", batch_size, model, [shape[0]]))
        if shape and shape[0] is None:
            shape[0] = 1 if batch_size is None else _open(batch_size)
        if len(shape) > 1 and shape[1] is None:
            shape[1] = _open(steps)
        if None in shape[2:]:
            raise ValueError(
                "`model` must have a fixed size on every axis of its inputs but batch and steps. "
                f"Received: model={model.name!r} with the input {name!r} of shape "
                f"{tuple(spec.shape)}"
            )
        dtype = keras.backend.standardize_dtype(spec.dtype)
        sized.append(tf.TensorSpec(shape, "float32" if dtype == "float64" else dtype, name=name))
    return sized


def _open(size):
    """The size of an axis that the model leaves open."""
    return None if size is None or size == DYNAMIC else operator.index(size)


def _contradiction(argument, value, model, own):
    own = ", ".join(map(str, own)) or "none"
    return (
        f"`{argument}` must be what the model fixes it to. Received: {argument}={value!r}, "
        f"and model {model.name!r} has {own}"
    )


def sizes_to_try(specs):
    """The shapes to run the file with: a list of one element, and a second one where batch or steps
    are open.

    Each is a list of shapes of which the first that the model runs on is taken: where the steps are
    open, it may need a least number of them.
    """
    if not any(None in spec.shape for spec in specs):
        return [[[tuple(spec.shape) for spec in specs]]]
    steps_open = any(None in spec.shape[1:2] for spec in specs)
    lengths = LENGTHS if steps_open else [each[:1] for each in LENGTHS]
    return [
        [
            [
                tuple(
                    size if own is None else own for own, size in _pairs(spec.shape, (batch, steps))
                )
                for spec in specs
            ]
            for steps in each
        ]
        for batch, each in zip((1, 2), lengths)
    ]


def _pairs(shape, sizes):
    return [(own, sizes[axis] if axis < 2 else None) for axis, own in enumerate(shape)]


def steps_in(shapes):
    """How many steps a run with inputs of these shapes has: the longest second axis of an input
    that is a sequence.
    """
    sequences = [shape for shape in shapes if len(shape) > 2] or [
        shape for shape in shapes if len(shape) > 1
    ]
    return max((shape[1] for shape in sequences), default=1)
