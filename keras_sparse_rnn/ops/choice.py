"""Native kernel or plain-TF reference: which of the two can be had, and which is taken."""

import tensorflow as tf

from keras_sparse_rnn.ops import loader
from keras_sparse_rnn.ops.tracing import under_xla
from keras_sparse_rnn.patterns import check_choice

KERNELS = ("auto", "native", "reference")
CELLS = ("matmul", "simple_rnn", "lstm", "gru")
_ACTIVATIONS = {
    "matmul": (None,),
    "simple_rnn": ("tanh", "relu"),
    "lstm": ("tanh",),
    "gru": ("tanh",),
}
_RECURRENT_ACTIVATIONS = {
    "matmul": (None,),
    "simple_rnn": (None,),
    "lstm": ("sigmoid",),
    "gru": ("sigmoid",),
}
_DTYPES = ("float32", "float16", "bfloat16")
NO_ROUNDER = "the native ops do not round inputs and states for training at few bits"
MOST_INTEGER_INPUTS = 1 << 16  # whose products fit into 32 bits: native/core/prepared/check.h


def why_not_native(
    cell,
    *,
    activation=None,
    recurrent_activation=None,
    dtype="float32",
    activations="float32",
    grid=None,
):
    """Why the native op of `cell` cannot be used here, in a sentence, or None if it can.

    Args:
        cell: `"matmul"`, `"simple_rnn"`, `"lstm"` or `"gru"`.
        activation, recurrent_activation: names or callables; None for the cell's default.
        dtype: of the inputs. float16 and bfloat16 are computed in float32.
        activations: `"int8"` if inputs and states are rounded to int8.
        grid: that of the kernel of inputs, where it is known.
    """
    check_choice(cell, CELLS, "cell")
    if activations == "int8" and grid is not None:
        if cell == "matmul" and grid.gates != 1:
            return f"the native {cell} op has int8 activations for 1 gate, not for {grid.gates}"
        if grid.inputs > MOST_INTEGER_INPUTS:
            return (
                f"the native ops have int8 activations for at most {MOST_INTEGER_INPUTS} inputs, "
                f"not for {grid.inputs}"
            )
    for name, given, known in (
        ("activation", activation, _ACTIVATIONS[cell]),
        ("recurrent_activation", recurrent_activation, _RECURRENT_ACTIVATIONS[cell]),
    ):
        if given is not None and activation_name(given) not in known:
            return (
                f"the native {cell} op knows {name} {' and '.join(map(repr, known))}, not {given!r}"
            )
    if tf.as_dtype(dtype).name not in _DTYPES:
        return f"the native ops compute {', '.join(_DTYPES)}, not {tf.as_dtype(dtype).name}"
    if under_xla():
        return (
            "the native ops have no XLA kernel, and this function is compiled with jit_compile=True"
        )
    if not loader.native_available():
        return f"the native library is missing: {loader.problem()}"
    return None


def use_native(kernel, cell, rounder=None, **options):
    """Whether the native op is taken for the argument `kernel`, or the reference: no native op
    takes a `rounder`.

    Raises:
        ValueError: `kernel="native"` cannot be had.
    """
    check_choice(kernel, KERNELS, "kernel")
    if kernel == "reference" or (kernel == "auto" and tf.config.list_physical_devices("GPU")):
        return False
    reason = why_not_native(cell, **options) if rounder is None else NO_ROUNDER
    if kernel == "native" and reason:
        raise ValueError(
            f'`kernel="native"` cannot be had: {reason}. `kernel="auto"` would take the reference.'
        )
    return reason is None


def activation_name(activation):
    """The name of one of Keras's activations, given by name or as a function; None for another."""
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", None)
    module = getattr(activation, "__module__", "keras")
    return name if module.split(".")[0] == "keras" else None
