"""The inputs of the exported file: names, types and sizes."""

import operator
import re

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.export.checks import DYNAMIC

# The lengths that an open sequence is run with, those of the first run and of the second, until one
# suits the model.
LENGTHS = (100, 240, 1008), (13, 48, 144, 336, 2016)


def inputs_of(model, input_signature):
    """Returns `(structure, specs)`: the structure that `model` takes its inputs in, and a flat list
    of objects with shape, dtype and name.

    Raises:
        ValueError: `input_signature` is no structure of specs, is nested in another way than the
            model's inputs, or is needed and was not given.
    """
    own = _own_inputs(model)
    if input_signature is None:
        if own is None:
            raise ValueError(
                "`input_signature` must be given for a model that is not functional or Sequential: "
                "a keras.KerasTensor or tf.TensorSpec, or a structure of them, as the model takes "
                "its inputs, for example keras.KerasTensor((None, None, 8)). Received: "
                f"input_signature=None, model={model.name!r}"
            )
        return own, keras.tree.flatten(own)
    specs = keras.tree.flatten(input_signature)
    if not specs or not all(_is_spec(spec) for spec in specs):
        raise ValueError(
            "`input_signature` must be a keras.KerasTensor or tf.TensorSpec, or a structure of "
            f"them. Received: input_signature={input_signature!r}"
        )
    if getattr(model, "inputs", None):
        structure = _only(input_signature)
        if _nesting(structure) != _nesting(own):
            raise ValueError(
                "`input_signature` must be nested as the inputs of the model are, "
                f"{_nesting(own)}. Received: input_signature nested as {_nesting(structure)}, "
                f"model={model.name!r}"
            )
        return structure, specs
    return input_signature, specs


def _own_inputs(model):
    """The structure of the inputs as the model, or Keras when it built the model, has noted them;
    None if nobody has.
    """
    if getattr(model, "inputs", None):
        structure = _only(private_keras.inputs_structure(model))
        # Keras takes the first batch of a Sequential model without an Input for numbers.
        if isinstance(model, keras.Sequential) and _is_embedding(model.layers[0]):
            return _as_tokens(structure)
        return structure
    # Of a subclassed model Keras notes the shape of the first batch, if it is one tensor.
    shape = (model.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, (tuple, list)) or len(shape) < 2 or not all(map(_is_size, shape[1:])):
        return None
    structure = keras.KerasTensor((None, *shape[1:]), name="inputs")
    tokens = len(shape) == 2 and any(map(_is_embedding, private_keras.inner_layers(model)))
    return _as_tokens(structure) if tokens else structure


def _as_tokens(spec):
    dtype = spec.dtype if "int" in spec.dtype else "int32"
    return keras.KerasTensor(spec.shape, dtype=dtype, name=spec.name)


def _is_embedding(layer):
    return isinstance(layer, keras.layers.Embedding)


def _is_size(size):
    return isinstance(size, int)


def _is_spec(spec):
    shape = getattr(spec, "shape", None)
    return hasattr(spec, "dtype") and shape is not None and getattr(shape, "rank", 0) is not None


def _only(structure):
    """The one input of a list of one, which Keras takes for the same."""
    one = isinstance(structure, (list, tuple)) and len(structure) == 1
    return structure[0] if one else structure


def _nesting(structure):
    """How `structure` is nested, in words: a dot for each input."""
    if isinstance(structure, dict):
        return "{" + ", ".join(f"{k!r}: {_nesting(structure[k])}" for k in sorted(structure)) + "}"
    if isinstance(structure, (list, tuple)):
        return "[" + ", ".join(map(_nesting, structure)) + "]"
    return "a tensor"


def output_names(model):
    """The names of the outputs of a functional or Sequential model, in their order: in a dict their
    keys, else those of the layers that give them. None for another model.
    """
    graph = private_keras.graph_of(model)
    names = list(getattr(graph, "output_names", None) or [])
    if not names:
        return None
    structure = private_keras.outputs_structure(model)
    numbers = keras.tree.pack_sequence_as(structure, list(range(len(names))))
    for number, key in _keys(numbers):
        names[number] = names[number] if key is None else str(key)
    return names


def _keys(structure, key=None):
    """Pairs of what is in a structure and the key of the innermost dict that it is in, or None."""
    if isinstance(structure, dict):
        return [pair for own, part in structure.items() for pair in _keys(part, own)]
    if isinstance(structure, (list, tuple)):
        return [pair for part in structure for pair in _keys(part, key)]
    return [(structure, key)]


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

    `batch_size` and `steps` go before the sizes that the model was built with, for most models
    compute with others (see `overridden`).

    Raises:
        ValueError: an axis besides batch and steps is open, or `steps` is given and no input has
            such an axis.
    """
    sized = []
    lengths = [spec.shape[1] for spec in specs if len(spec.shape) > 1]
    if steps is not None and not lengths:
        raise ValueError(
            "`steps` must be None for a model whose inputs have no axis of steps. Received: "
            f"steps={steps!r}, and model {model.name!r}"
        )
    carries = {id(spec) for spec in _sequences(specs)}
    other = steps is not None and None not in lengths and steps not in lengths
    for spec, name in zip(
        specs, unique([getattr(spec, "name", None) or "input" for spec in specs])
    ):
        shape = list(spec.shape)
        if shape and (shape[0] is None or batch_size is not None):
            shape[0] = 1 if batch_size is None else _open(batch_size)
        if len(shape) > 1 and (shape[1] is None or (other and id(spec) in carries)):
            shape[1] = _open(steps)
        if None in shape[2:]:
            raise ValueError(
                "`model` must have a fixed size on every axis of its inputs but batch and steps. "
                f"Received: model={model.name!r} with the input {name!r} of shape "
                f"{tuple(spec.shape)}"
            )
        dtype = _dtype(spec)
        sized.append(tf.TensorSpec(shape, "float32" if dtype == "float64" else dtype, name=name))
    return sized


def _sequences(specs):
    """Those of `specs` whose second axis is taken for steps: what has three axes; if nothing has,
    integers, which are tokens; if there are none, all that have two axes. One number for a sample
    is no sequence, if there are others.
    """
    longer = [spec for spec in specs if len(spec.shape) > 2]
    pairs = [spec for spec in specs if len(spec.shape) == 2]
    several = [spec for spec in pairs if spec.shape[1] != 1]
    return longer or [spec for spec in several if "int" in _dtype(spec)] or several or pairs


def _dtype(spec):
    return keras.backend.standardize_dtype(spec.dtype)


def _open(size):
    """The size of an axis that the model leaves open."""
    return None if size is None or size == DYNAMIC else operator.index(size)


def overridden(own, specs):
    """Whether `specs` have another size than the model's `own` where that has a fixed one."""
    return any(
        size not in (None, new)
        for one, spec in zip(own, specs)
        for size, new in zip(one.shape, spec.shape)
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


def steps_in(shapes, specs):
    """How many steps a run with inputs of these shapes has: the longest second axis of an input
    that is a sequence, going by the inputs as the model has them.
    """
    carries = {id(spec) for spec in _sequences(specs)}
    return max((shape[1] for shape, spec in zip(shapes, specs) if id(spec) in carries), default=1)
