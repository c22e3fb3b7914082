"""The arguments that every block-sparse layer adds to those of its Keras parent."""

import functools
import inspect
import numbers
import warnings

import keras

from keras_sparse_rnn import configs
from keras_sparse_rnn.ops.choice import KERNELS, NO_ROUNDER
from keras_sparse_rnn.ops.quantization import WEIGHTS, check_activations, check_input_range
from keras_sparse_rnn.patterns import (
    GraphPattern,
    check_block_shape,
    check_choice,
    fitted_block_shape,
)
from keras_sparse_rnn.quantization.low_precision import LowPrecision, check_low_precision

STORAGES = ("packed", "masked")


def takes_arguments_of(parent):
    """Decorates `__init__(self, ..., **kwargs)` so that `help` and `inspect.signature` list the
    arguments of `parent` that go into `kwargs`.

    They are read from `parent` when the class is made, so a layer takes what the installed Keras
    takes.
    """

    def decorate(init):
        own = inspect.signature(init).parameters
        inherited = inspect.signature(parent.__init__).parameters
        keywords = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inherited.items()
            if name not in own and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        *named, rest = own.values()

        @functools.wraps(init)
        def wrapped(self, *args, **kwargs):
            init(self, *args, **kwargs)

        wrapped.__signature__ = inspect.Signature([*named, *keywords, rest])
        return wrapped

    return decorate


def check_storage(storage):
    """Returns `storage`, or raises a `ValueError`."""
    return check_choice(storage, STORAGES, "storage")


def check_kernel(kernel):
    """Returns `kernel`, or raises a `ValueError`."""
    return check_choice(kernel, KERNELS, "kernel")


def check_weights(weights, storage):
    """Returns `weights`, the type that kernels are stored as, or raises a `ValueError`."""
    check_choice(weights, WEIGHTS, "weights")
    if weights != "float32" and storage != "packed":
        raise ValueError(
            '`weights` must be "float32" with `storage="masked"`, whose kernels are dense and '
            "trained: quantised kernels are packed and cannot be "
            f"trained. Received: weights={weights!r}, storage={storage!r}"
        )
    return weights


def check_rounding(activations, input_range, weights):
    """Returns `(activations, input_range)`, how a layer of `weights` rounds what they are
    multiplied with, or raises a `ValueError`.
    """
    activations = check_activations(activations, weights)
    return activations, check_input_range(input_range, activations)


def check_low(low_precision, storage, weights):
    """Returns `low_precision`, given as a `LowPrecision`, its config, or None; or raises a
    `ValueError`.
    """
    if isinstance(low_precision, dict):
        low_precision = configs.deserialize(low_precision, LowPrecision, "low_precision")
    return check_low_precision(low_precision, storage, weights)


def low_config(low_precision):
    """What stands in the config of a layer."""
    return None if low_precision is None else keras.saving.serialize_keras_object(low_precision)


def rounds_inputs(layer):
    """Whether a `layer` that trains at few bits rounds what its weights are multiplied with."""
    return layer.low_precision is not None and layer.low_precision.activation_bits is not None


def why_not_rounding(layer):
    """Why the native op cannot round what `layer` rounds in training, in words; or None."""
    return NO_ROUNDER if rounds_inputs(layer) else None


def check_loop(layer):
    """Raises a `ValueError` if a recurrent `layer` rounds inputs and trains in Keras's loop, which
    does not.
    """
    if rounds_inputs(layer) and layer.trains_step_by_step:
        raise ValueError(
            "`activation_bits` must be None with dropout between time steps (`recurrent_dropout`, "
            "or `dropout` with `implementation=1`), which trains in Keras's own loop. Received: "
            f"the layer {layer.name!r} with low_precision={layer.low_precision!r}"
        )


def check_native(layer, reason=None):
    """Raises a `ValueError` if `layer` insists on the native op, which cannot be had: for a
    `reason`, in words, or for what the layer's `why_not_native` says.
    """
    if layer.kernel_choice != "native":
        return
    reason = reason or layer.why_not_native()
    if reason:
        raise ValueError(
            f'`kernel="native"` cannot be had for the layer {layer.name!r}: {reason}. '
            '`kernel="auto"` would take the reference.'
        )


def check_live_blocks(live_blocks, count, storage):
    """Returns `live_blocks` as a tuple of `count` ints (or None), or raises a `ValueError`."""
    if live_blocks is None:
        return None
    valid = isinstance(live_blocks, (tuple, list)) and len(live_blocks) == count
    valid = valid and all(
        isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 0 for n in live_blocks
    )
    if not valid:
        raise ValueError(
            f"`live_blocks` must be None or {count} integer(s) of at least 0, how many blocks of "
            f"each kernel live. Received: live_blocks={live_blocks!r}"
        )
    if storage != "packed":
        raise ValueError(
            '`live_blocks` sizes packed weights, so it needs `storage="packed"`. '
            f"Received: live_blocks={live_blocks!r}, storage={storage!r}"
        )
    return tuple(int(n) for n in live_blocks)


def check_recurrent_pattern(pattern, units, block_shape, live_blocks):
    """Returns `pattern`, a `GraphPattern` (or the config of one, of a saved layer) or None, and the
    block shape of the recurrent kernel: that of the pattern or, without one, `block_shape`.

    Raises:
        ValueError: the pattern is not one of a layer of so many `units`, or another argument says
            what lives, too.
    """
    if isinstance(pattern, dict):
        pattern = configs.deserialize(pattern, GraphPattern, "recurrent_pattern")
    if pattern is None:
        return None, block_shape
    if not isinstance(pattern, GraphPattern):
        raise ValueError(
            "`recurrent_pattern` must be a GraphPattern, such as ksr.patterns.from_graph(graph), "
            f"or None. Received: recurrent_pattern={pattern!r}"
        )
    own = pattern.block_shape
    block_shape = own if block_shape is None else check_block_shape(block_shape)
    if block_shape != own or live_blocks is not None:
        raise ValueError(
            "`recurrent_block_shape` and `live_blocks` must be None where there is a "
            "`recurrent_pattern`, which says itself what lives. Received: recurrent_block_shape="
            f"{block_shape}, live_blocks={live_blocks!r}, recurrent_pattern={pattern!r}"
        )
    pattern.check_units(units, "recurrent_pattern")
    return pattern, own


def check_sole_pattern(pattern, recurrent_sparsity, keep_diagonal):
    """Raises a `ValueError` if a `recurrent_pattern` is not the only thing that says which blocks
    of the recurrent kernel live.
    """
    if pattern is not None and (recurrent_sparsity is not None or keep_diagonal):
        raise ValueError(
            "`recurrent_sparsity` must be None and `keep_diagonal` False where there is a "
            "`recurrent_pattern`, which says itself what lives. Received: recurrent_sparsity="
            f"{recurrent_sparsity!r}, keep_diagonal={keep_diagonal!r}"
        )


def fitted_blocks(layer, block_shape, recurrent_block_shape):
    """The block shapes that a recurrent `layer` uses: `(block_shape, recurrent_block_shape)`, the
    second None if it is the first. Blocks larger than the layer are cut, with a warning, so that a
    config has those in use.

    Raises:
        ValueError: a shape is no pair of positive integers.
    """
    block_shape = check_block_shape(block_shape)
    if recurrent_block_shape is not None:
        recurrent_block_shape = check_block_shape(recurrent_block_shape, "recurrent_block_shape")
    given, units = recurrent_block_shape or block_shape, layer.units
    fitted = fitted_block_shape(given, (units, units))
    if fitted == given:
        return block_shape, recurrent_block_shape
    if recurrent_block_shape is None:
        block_shape = fitted_block_shape(given, (given[0], units))
    cut = f"{block_shape} in the kernel and {fitted} in the recurrent kernel"
    warn_of_cut_blocks(layer, given, f"{units} units", cut)
    return block_shape, None if fitted == block_shape else fitted


def warn_of_cut_blocks(layer, block_shape, size, cut):
    """Warns that blocks of `block_shape` are larger than `layer`, which has `size`, and are cut to
    what `cut` says.
    """
    warnings.warn(
        f"{layer.name!r} has {size}: its blocks of {tuple(block_shape)} are cut to {cut}.",
        UserWarning,
        stacklevel=4,
    )


def forgotten_arguments(layer, cell):
    """The arguments of a recurrent Keras layer, as a dict, that Keras leaves out of `get_config`
    (for some of the layers).

    Args:
        layer: the layer, or the cell itself.
        cell: its cell.
    """
    owners = {"seed": cell, "implementation": cell, "use_cudnn": layer}
    found = {name: getattr(owner, name) for name, owner in owners.items() if hasattr(owner, name)}
    if hasattr(layer, "cudnn_choice"):
        found["use_cudnn"] = layer.cudnn_choice
    return found


def own_arguments(layer):
    """The arguments, as a dict, that any block-sparse `layer` has beside those of its Keras
    parent.
    """
    return {
        "block_shape": layer.block_shape,
        "sparsity": layer.sparsity,
        "storage": layer.storage,
        "kernel": layer.kernel_choice,
        "live_blocks": layer.live_blocks,
        "weights": layer.weights_choice,
        "activations": layer.activations_choice,
        "input_range": layer.input_range,
        "low_precision": low_config(layer.low_precision),
    }
