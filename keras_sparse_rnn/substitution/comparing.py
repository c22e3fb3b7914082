"""Whether copies compute what their originals do: both are run on random inputs.

The config of a class of a user's own, or what its constructor is given anew, need not be all that
it computes with.
"""

import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import (
    PREDICTING,
    is_rebuildable,
    listed,
    overridden,
)
from keras_sparse_rnn.substitution.references import held
from keras_sparse_rnn.substitution.walking import walk

OURS = ("keras", "keras_sparse_rnn")
# The size of open axes, and whether floats are zeros and ones, which may be tokens.
ATTEMPTS = ((5, False), (5, True), (48, False), (48, True))


def check_predictions(model, copy_of):
    """Raises a `ValueError` if a copy of `model`, whose class has a `call` of its own, predicts
    something else than `model` does; warns if that cannot be seen.

    Args:
        model: a built Sequential or functional model.
        copy_of: a function that returns a copy of it with its layers as they are.
    """
    own = overridden(model, PREDICTING)
    if not own:
        return
    kind = type(model).__name__
    tensors = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    x, expected, reason = _run(model, ((tensors,), {}))
    if reason is not None:
        warnings.warn(
            f"{model.name!r} of class {kind} is kept with its own {listed(own)}, but its "
            "predictions for random inputs could not be compared with those of the original "
            f"({reason}): compare them on your data.",
            UserWarning,
            stacklevel=5,
        )
    elif not _predicts(copy_of(model), x, expected):
        raise ValueError(
            f"{model.name!r} of class {kind} cannot be rebuilt: made anew by its constructor, with "
            f"the same weights, it predicts something else. What its own {listed(own)} uses must "
            "come from arguments of the constructor that stand in its get_config."
        )


def check_copies(model, copy_of):
    """Raises a `ValueError` if the copy of a layer in the graph of `model` that is of a user's
    class, or holds such a layer, computes something else than the layer; warns if that cannot be
    seen.

    Args:
        model: a built Sequential or functional model.
        copy_of: a function that returns the copy of a layer of `model`; the layer itself if it is
            shared.
    """
    seen = set()
    for holder in filter(is_rebuildable, walk(model)):
        for node in private_keras.nodes(holder) or ():
            layer = node.operation
            if id(layer) in seen or is_rebuildable(layer) or not _is_users(layer):
                continue
            seen.add(id(layer))
            copy = copy_of(layer)
            if copy is not layer:
                _check_copy(layer, copy, (node.arguments.args, node.arguments.kwargs))


def _check_copy(layer, copy, arguments):
    kind = type(layer).__name__
    x, expected, reason = _run(layer, arguments)
    if reason is not None:
        warnings.warn(
            f"{layer.name!r} of class {kind} is copied from its config, but what it computes on "
            f"random inputs could not be compared with the original ({reason}): compare the "
            "predictions of both models on your data.",
            UserWarning,
            stacklevel=7,
        )
    elif not _predicts(copy, x, expected):
        paths = [f"`{path}`" for path, thing in held(layer) if isinstance(thing, tf.Variable)]
        untracked = f", as it does not of the tf.Variable {', '.join(paths)}" if paths else ""
        raise ValueError(
            f"The layer {layer.name!r} of class {kind} cannot be copied: its copy, made from its "
            "config with the same weights, computes something else. All that it computes with must "
            "be an argument of its constructor that stands in its `get_config`, or a weight that "
            f"Keras knows of (`add_weight`){untracked}"
        )


def _is_users(layer):
    """Whether `layer`, or a layer in it, is of a class that is neither Keras's nor ours."""
    return isinstance(layer, keras.Layer) and any(
        type(one).__module__.split(".")[0] not in OURS for one in private_keras.inner_layers(layer)
    )


def _run(layer, arguments):
    """`(inputs, outputs, None)` of a run on random inputs, or `(None, None, reason)`.

    Args:
        layer: the layer.
        arguments: `(args, kwargs)` of its call, with `KerasTensor`s for the inputs.
    """
    reason = None
    for size, tokens in ATTEMPTS:
        try:
            x = _random(arguments, size, tokens)
            expected, again = _outputs(layer, x), _outputs(layer, x)
        except Exception as error:  # whatever a user's code raises for inputs that do not suit it
            reason = reason or f"{type(error).__name__}: {error}"
            continue
        if _close(expected, again):
            return x, expected, None
        return None, None, "it predicts at random"
    return None, None, reason


def _predicts(copy, x, expected):
    try:
        return _close(expected, _outputs(copy, x))
    except Exception:  # its `call` uses what the copy has not got
        return False


def _outputs(layer, x):
    """What `layer` computes for `(args, kwargs)`, its states left as they are."""
    steps = isinstance(layer, keras.Model) and overridden(layer, ["predict_step"])
    args, kwargs = x
    others = [one for _, one in held((layer,)) if isinstance(one, tf.Variable)]
    before = [one.numpy() for one in others]
    try:
        with keras.StatelessScope():
            outputs = (layer.predict_step if steps else layer)(*args, **kwargs)
    finally:
        for one, value in zip(others, before):
            one.assign(value)
    return [np.asarray(one) for one in keras.tree.flatten(outputs)]


def _close(ones, others):
    return len(ones) == len(others) and all(
        one.shape == other.shape
        and (
            np.allclose(one, other, 1e-4, 1e-5, equal_nan=True)
            if one.dtype.kind in "fiu"
            else np.array_equal(one, other)
        )
        for one, other in zip(ones, others)
    )


def _random(arguments, size, tokens):
    generator = np.random.default_rng(0)

    def of(tensor):
        if not isinstance(tensor, keras.KerasTensor):
            return tensor
        first, *others = tensor.shape
        shape = [first or 2, *(one or size for one in others)]
        floats = "float" in tensor.dtype and not tokens
        values = generator.normal(size=shape) if floats else generator.integers(0, 2, shape)
        values = values.astype(str if tensor.dtype == "string" else tensor.dtype)
        values = keras.ops.convert_to_tensor(values)
        return tf.sparse.from_dense(values) if tensor.sparse else values

    return keras.tree.map_structure(of, arguments)
