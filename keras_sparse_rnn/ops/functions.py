"""The public ops: they check their arguments and choose between the native kernels and the plain-TF
reference.
"""

import tensorflow as tf

from keras_sparse_rnn.ops import integer_reference, quantization, reference
from keras_sparse_rnn.ops.checks import (
    as_tensor,
    check_shape,
    checked_kernels,
    computing_dtype,
    weights_type,
    with_inputs,
)
from keras_sparse_rnn.ops.choice import activation_name, use_native

_GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def block_sparse_matmul(x, packed, *, kernel="auto", activations="float32", input_range=0.0):
    """Multiplies `x` by a packed kernel, touching its live blocks only.

    Args:
        x: float tensor `[..., inputs]`.
        packed: `PackedKernel`.
        kernel: `"auto"` takes the native kernel where it applies and the reference elsewhere,
            `"native"` raises where it does not apply, `"reference"` is plain TensorFlow on the
            unpacked kernel.
        activations: `"float32"`; or with int8 weights `"int8"`: inputs are rounded to integers from
            -127 to 127, products are exact in integers. The weights must come from
            `ops.quantize(packed, "int8", activations="int8")`.
        input_range: of int8 activations, the largest input in absolute value, for which 127 stands;
            larger inputs count as it. 0: that of each row of `x`.

    Returns:
        Tensor `[..., gates * units]`.

    Raises:
        ValueError: a shape does not fit, or `kernel="native"` cannot be had (see `why_not_native`).
    """
    x = tf.convert_to_tensor(x)
    x = with_inputs(x, (None,) * (len(x.shape) - 1) + (packed.grid.inputs,))
    largest = _ranges(x, activations, input_range, packed=packed)
    native = use_native(kernel, "matmul", dtype=x.dtype, activations=activations)
    dtype = computing_dtype(native, x.dtype, activations)
    weights = checked_kernels(native, x.dtype if native else dtype, largest, packed=packed)[0]
    if native:
        product = _run_native("matmul", tf.cast(x, dtype), weights)
    else:
        product = reference.matmul(tf.cast(x, dtype), weights)
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
    activations="float32",
    input_range=0.0,
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
        activations, input_range: as in `block_sparse_matmul`; with 0 the range is that of each step
            of each sample. The state is rounded to 127ths; with relu, which leaves it without
            bound, by its largest number.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`. Both are differentiable
        in `x`, `h0`, `bias` and the values.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    largest = _ranges(x, activations, input_range, activation, **kernels)
    options = {"activation": activation, "dtype": x.dtype, "activations": activations}
    native = use_native(kernel, "simple_rnn", **options)
    bias_shape = (packed.grid.units,)
    inputs = _checked("simple_rnn", native, x, {"h0": h0}, kernels, largest, bias, mask, bias_shape)
    if native:
        results = _run_native(
            "simple_rnn",
            *inputs,
            activation_name(activation),
            go_backwards,
            _keep(training, packed, x),
        )
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
    activations="float32",
    input_range=0.0,
):
    """A whole sequence through an LSTM, gates in Keras's order `i, f, c, o`.

    Args:
        x: float tensor `[batch, time, inputs]`.
        h0, c0: `[batch, units]`.
        packed: `PackedKernel` of the kernel `[inputs, 4 * units]`.
        recurrent_packed: `PackedKernel` of the recurrent kernel `[units, 4 * units]`.
        bias: `[4 * units]` or None.
        mask, go_backwards, kernel, training, activations, input_range: as in
            `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` and `c` `[batch, units]`, differentiable
        in every float input.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    largest = _ranges(x, activations, input_range, activation, recurrent_activation, **kernels)
    native = use_native(
        kernel,
        "lstm",
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
        activations=activations,
    )
    states, bias_shape = {"h0": h0, "c0": c0}, (4 * packed.grid.units,)
    inputs = _checked("lstm", native, x, states, kernels, largest, bias, mask, bias_shape)
    if native:
        results = _run_native("lstm", *inputs, go_backwards, _keep(training, packed, x))
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
    activations="float32",
    input_range=0.0,
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
        mask, go_backwards, kernel, training, activations, input_range: as in
            `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`, differentiable in every
        float input.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    largest = _ranges(x, activations, input_range, activation, recurrent_activation, **kernels)
    native = use_native(
        kernel,
        "gru",
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
        activations=activations,
    )
    bias_shape = (2, 3 * packed.grid.units) if reset_after else (3 * packed.grid.units,)
    inputs = _checked("gru", native, x, {"h0": h0}, kernels, largest, bias, mask, bias_shape)
    if native:
        results = _run_native("gru", *inputs, reset_after, go_backwards, _keep(training, packed, x))
    else:
        results = reference.gru(
            *inputs, reset_after, activation, recurrent_activation, go_backwards
        )
    return _finished(results, x, packed)


def _run_native(cell, *arguments):
    """What the native op of `cell` returns."""
    from keras_sparse_rnn.ops import native  # registers gradients: only where the library is used

    return getattr(native, cell)(*arguments)


def _keep(training, packed, x):
    return bool(training) and weights_type(packed, x.dtype) == "float32"


def _finished(results, x, packed):
    """What an op returns: in the dtype of x, without a gradient where weights are quantised."""
    results = [tf.cast(result, x.dtype) for result in results]
    if weights_type(packed, x.dtype) != "float32":
        results = [quantization.without_gradient(result) for result in results]
    return tuple(results)


def _ranges(x, activations, input_range, *functions, **kernels):
    """What 127 stands for in what each of the `kernels` is multiplied with, the input and a state
    that comes out of the activation `functions`: a dict. None of float activations.
    """
    quantization.check_activations(activations, weights_type(kernels["packed"], x.dtype))
    input_range = quantization.check_input_range(input_range, activations)
    if activations != "int8":
        return None
    ranges = (input_range, integer_reference.state_range(*functions) if functions else None)
    return dict(zip(kernels, ranges))


def _checked(cell, native, x, states, kernels, largest, bias, mask, bias_shape):
    """Checks the static shapes; returns `x, *states, kernel, recurrent kernel, bias, mask`: kernels
    packed for `native`, else dense, or, where `largest` says what 127 stands for, of integers.
    """
    packed, recurrent_packed = kernels.values()
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
    dtype = computing_dtype(native, x.dtype, "int8" if largest else "float32")
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
    kernels = checked_kernels(native, x.dtype if native else dtype, largest, **kernels)
    return tf.cast(x, dtype), *states.values(), *kernels, bias, mask
