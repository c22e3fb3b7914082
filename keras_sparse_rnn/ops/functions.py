"""The public ops: they check their arguments and choose between the native kernels and the plain-TF
reference.
"""

import tensorflow as tf

from keras_sparse_rnn.ops import quantization, reference
from keras_sparse_rnn.ops.checks import (
    as_tensor,
    check_shape,
    checked_kernels,
    weights_type,
    with_inputs,
)
from keras_sparse_rnn.ops.choice import activation_name, use_native

_GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def block_sparse_matmul(x, packed, *, kernel="auto"):
    """Multiplies `x` by a packed kernel, touching its live blocks only.

    Args:
        x: float tensor `[..., inputs]`.
        packed: `PackedKernel`.
        kernel: `"auto"` takes the native kernel where it applies and the reference elsewhere,
            `"native"` raises where it does not apply, `"reference"` is plain TensorFlow on the
            unpacked kernel.

    Returns:
        Tensor `[..., gates * units]`.

    Raises:
        ValueError: a shape does not fit, or `kernel="native"` cannot be had (see `why_not_native`).
    """
    x = tf.convert_to_tensor(x)
    x = with_inputs(x, (None,) * (len(x.shape) - 1) + (packed.grid.inputs,))
    native = use_native(kernel, "matmul", dtype=x.dtype)
    weights = checked_kernels(native, x.dtype, packed=packed)[0]
    if native:
        product = _native().matmul(tf.cast(x, tf.float32), weights)
    else:
        product = reference.matmul(x, weights)
    return _finished([product], x, packed)[0]


def block_sparse_simple_rnn(
    x,
    h0,
    packed,
    recurrent_packed,
    bias,
    *,
    activation="tanh",
    mask=None,
    go_backwards=False,
    kernel="auto",
    training=True,
    prepare=False,
):
    """A whole sequence through a simple recurrent cell, `h = activation(x W + h U + b)`.

    Time, masks and `go_backwards` behave as in `keras.layers.SimpleRNN`: where `mask` is False the
    state is carried over and the output repeats the one before (zero before the first step that
    counts); with `go_backwards` the outputs come in the order in which they were computed.

    Args:
        x: float tensor `[batch, time, inputs]`.
        h0: `[batch, units]`.
        packed: `PackedKernel` of the kernel `[inputs, units]`.
        recurrent_packed: `PackedKernel` of the recurrent kernel `[units, units]`.
        bias: `[units]` or None.
        activation: `"tanh"`, `"relu"`, or, with the reference only, anything that
            `keras.activations.get` takes.
        mask: bool `[batch, time]` or None.
        go_backwards: runs from the last step to the first.
        kernel: as in `block_sparse_matmul`.
        training: False says that no gradient is likely to be asked for, so that the native op keeps
            nothing for it: faster and smaller. Gradients are right all the same, only slower.
        prepare: True says that the weights stay the same tensors from call to call, as those of
            variables do until they are assigned: without `training` the native op then lays them
            out for this processor once, and keeps that as long as the weights are there.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`. Both are differentiable
        in `x`, `h0`, `bias` and the values.
    """
    x = tf.convert_to_tensor(x)
    native = use_native(kernel, "simple_rnn", activation=activation, dtype=x.dtype)
    inputs = _checked(
        "simple_rnn",
        native,
        x,
        {"h0": h0},
        packed,
        recurrent_packed,
        bias,
        mask,
        bias_shape=(packed.grid.units,),
    )
    keep, name = _keep(training, packed, x), activation_name(activation)
    if native and prepare and not keep:
        results = _prepared(f"simple_rnn_{name}", 1, inputs, go_backwards)
    elif native:
        results = _native().simple_rnn(*inputs, name, go_backwards, keep)
    else:
        results = reference.simple_rnn(*inputs, activation, go_backwards)
    return _finished(results, x, packed)


def block_sparse_lstm(
    x,
    h0,
    c0,
    packed,
    recurrent_packed,
    bias,
    *,
    mask=None,
    go_backwards=False,
    activation="tanh",
    recurrent_activation="sigmoid",
    kernel="auto",
    training=True,
    prepare=False,
):
    """A whole sequence through an LSTM, gates in Keras's order `i, f, c, o`.

    Args:
        x: float tensor `[batch, time, inputs]`.
        h0, c0: `[batch, units]`.
        packed: `PackedKernel` of the kernel `[inputs, 4 * units]`.
        recurrent_packed: `PackedKernel` of the recurrent kernel `[units, 4 * units]`.
        bias: `[4 * units]` or None.
        mask, go_backwards, kernel, training, prepare: as in `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` and `c` `[batch, units]`, differentiable
        in every float input.
    """
    x = tf.convert_to_tensor(x)
    native = use_native(
        kernel,
        "lstm",
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
    )
    states, bias_shape = {"h0": h0, "c0": c0}, (4 * packed.grid.units,)
    inputs = _checked("lstm", native, x, states, packed, recurrent_packed, bias, mask, bias_shape)
    keep = _keep(training, packed, x)
    if native and prepare and not keep:
        results = _prepared("lstm", 2, inputs, go_backwards)
    elif native:
        results = _native().lstm(*inputs, go_backwards, keep)
    else:
        results = reference.lstm(*inputs, activation, recurrent_activation, go_backwards)
    return _finished(results, x, packed)


def block_sparse_gru(
    x,
    h0,
    packed,
    recurrent_packed,
    bias,
    *,
    reset_after=True,
    mask=None,
    go_backwards=False,
    activation="tanh",
    recurrent_activation="sigmoid",
    kernel="auto",
    training=True,
    prepare=False,
):
    """A whole sequence through a GRU, gates in Keras's order `z, r, h`.

    Args:
        x: float tensor `[batch, time, inputs]`.
        h0: `[batch, units]`.
        packed: `PackedKernel` of the kernel `[inputs, 3 * units]`.
        recurrent_packed: `PackedKernel` of the recurrent kernel `[units, 3 * units]`.
        bias: `[2, 3 * units]` with `reset_after`, else `[3 * units]`, or None.
        reset_after: whether the reset gate acts after the recurrent product (Keras's default) or on
            the state before it.
        mask, go_backwards, kernel, training, prepare: as in `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`, differentiable in every
        float input.
    """
    x = tf.convert_to_tensor(x)
    native = use_native(
        kernel,
        "gru",
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
    )
    bias_shape = (2, 3 * packed.grid.units) if reset_after else (3 * packed.grid.units,)
    inputs = _checked(
        "gru", native, x, {"h0": h0}, packed, recurrent_packed, bias, mask, bias_shape
    )
    keep = _keep(training, packed, x)
    if native and prepare and not keep:
        cell = "gru" if reset_after else "gru_reset_before"
        results = _prepared(cell, 1, inputs, go_backwards)
    elif native:
        results = _native().gru(*inputs, reset_after, go_backwards, keep)
    else:
        results = reference.gru(
            *inputs, reset_after, activation, recurrent_activation, go_backwards
        )
    return _finished(results, x, packed)


def _native():
    from keras_sparse_rnn.ops import native  # registers gradients: only where the library is used

    return native


def _prepared(cell, states, inputs, go_backwards):
    x, *rest = inputs
    return _native().prepared(cell, x, rest[:states], *rest[states:], go_backwards)


def _keep(training, packed, x):
    return bool(training) and weights_type(packed, x.dtype) == "float32"


def _finished(results, x, packed):
    """What an op returns: in the dtype of x, without a gradient where weights are quantised."""
    results = [tf.cast(result, x.dtype) for result in results]
    if weights_type(packed, x.dtype) != "float32":
        results = [quantization.without_gradient(result) for result in results]
    return tuple(results)


def _checked(cell, native, x, states, packed, recurrent_packed, bias, mask, bias_shape):
    """Checks the static shapes; returns `x, *states, kernel, recurrent kernel, bias, mask`: kernels
    packed for `native`, else dense.
    """
    grid, gates = packed.grid, _GATES[cell]
    if grid.gates != gates or recurrent_packed.grid.kernel_shape != (
        grid.units,
        gates * grid.units,
    ):
        raise ValueError(
            f"`packed` and `recurrent_packed` of a {cell} must have grids of {gates} gates of "
            "equal units, the recurrent one with as many inputs as units. Received: "
            f"packed.grid={grid}, recurrent_packed.grid={recurrent_packed.grid}"
        )
    dtype = tf.float32 if native else x.dtype
    x = with_inputs(x, (None, None, grid.inputs))
    states = {name: as_tensor(state, dtype) for name, state in states.items()}
    for name, state in states.items():
        check_shape(name, state, (x.shape[0], grid.units))
    if bias is not None:
        bias = as_tensor(bias, dtype)
        check_shape("bias", bias, bias_shape)
    if mask is not None:
        mask = as_tensor(mask, tf.bool)
        check_shape("mask", mask, x.shape[:2])
    kernels = checked_kernels(native, x.dtype, packed=packed, recurrent_packed=recurrent_packed)
    return tf.cast(x, dtype), *states.values(), *kernels, bias, mask
