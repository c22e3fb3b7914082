"""The public ops: they check their arguments and choose between the native kernels and the plain-TF
reference.
"""

import functools

import tensorflow as tf

from keras_sparse_rnn.ops import integer_reference, quantization, reference
from keras_sparse_rnn.ops.checks import (
    checked_kernels,
    checked_sequence,
    computing_dtype,
    weights_type,
    with_inputs,
)
from keras_sparse_rnn.ops.choice import activation_name, use_native


def block_sparse_matmul(
    x, packed, *, kernel="auto", prepare=False, activations="float32", input_range=0.0
):
    """Multiplies `x` by a packed kernel, touching its live blocks only.

    Args:
        x: float tensor `[..., inputs]`.
        packed: `PackedKernel`.
        kernel: `"auto"` takes the native kernel where it applies and the reference elsewhere,
            `"native"` raises where it does not apply, `"reference"` is plain TensorFlow on the
            unpacked kernel.
        prepare: True says that the weights stay the same tensors from call to call, as those of
            variables do until they are assigned: the native op then lays a kernel of one gate out
            for this processor once, and keeps that as long as the weights are there.
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
    largest = _ranges(x, activations, input_range, None, packed=packed)
    options = {"dtype": x.dtype, "activations": activations, "grid": packed.grid}
    native = use_native(kernel, "matmul", **options)
    dtype = computing_dtype(native, x.dtype, activations)
    weights = checked_kernels(native, x.dtype if native else dtype, largest, packed=packed)[0]
    if native and (largest or (prepare and packed.grid.gates == 1)):
        input_range = largest["packed"] if largest else None
        product = _native().prepared_matmul(tf.cast(x, dtype), weights, input_range)
    elif native:
        product = _native().matmul(tf.cast(x, dtype), weights)
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
    prepare=False,
    activations="float32",
    input_range=0.0,
    rounder=None,
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
        prepare: as in `block_sparse_matmul`, with kernels of any gates, and without `training`
            only.
        activations, input_range: as in `block_sparse_matmul`; with 0 the range is that of each step
            of each sample. The state is rounded to 127ths; with relu, which leaves it without
            bound, by its largest number.
        rounder: for training at few bits, a function that rounds inputs and states: of a tensor
            `[..., numbers]` and of what 127 stands for (0: the largest number of each row), a
            tensor of that shape, with a gradient. The reference runs.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`. Both are differentiable
        in `x`, `h0`, `bias` and the values.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    largest = _ranges(x, activations, input_range, rounder, activation, **kernels)
    options = {"activation": activation, "dtype": x.dtype, "activations": activations}
    native = use_native(kernel, "simple_rnn", rounder, grid=packed.grid, **options)
    bias_shape = (packed.grid.units,)
    inputs = checked_sequence(
        "simple_rnn", native, x, {"h0": h0}, kernels, largest, bias, mask, bias_shape, rounder
    )
    if native:
        name, keep = activation_name(activation), _keep(training, packed, x)
        run = _prepared(f"simple_rnn_{name}", prepare and not keep, largest)
        run = run or functools.partial(_native().simple_rnn, activation=name, keep=keep)
        results = run(*inputs, go_backwards=go_backwards)
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
    activations="float32",
    input_range=0.0,
    rounder=None,
):
    """A whole sequence through an LSTM, gates in Keras's order `i, f, c, o`.

    Args:
        x: float tensor `[batch, time, inputs]`.
        h0, c0: `[batch, units]`.
        packed: `PackedKernel` of the kernel `[inputs, 4 * units]`.
        recurrent_packed: `PackedKernel` of the recurrent kernel `[units, 4 * units]`.
        bias: `[4 * units]` or None.
        mask, go_backwards, kernel, training, prepare, activations, input_range, rounder: as in
            `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` and `c` `[batch, units]`, differentiable
        in every float input.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    functions = (activation, recurrent_activation)
    largest = _ranges(x, activations, input_range, rounder, *functions, **kernels)
    native = use_native(
        kernel,
        "lstm",
        rounder,
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
        activations=activations,
        grid=packed.grid,
    )
    states, bias_shape = {"h0": h0, "c0": c0}, (4 * packed.grid.units,)
    inputs = checked_sequence(
        "lstm", native, x, states, kernels, largest, bias, mask, bias_shape, rounder
    )
    if native:
        keep = _keep(training, packed, x)
        run = _prepared("lstm", prepare and not keep, largest)
        run = run or functools.partial(_native().lstm, keep=keep)
        results = run(*inputs, go_backwards=go_backwards)
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
    activations="float32",
    input_range=0.0,
    rounder=None,
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
        mask, go_backwards, kernel, training, prepare, activations, input_range, rounder: as in
            `block_sparse_simple_rnn`.
        activation, recurrent_activation: native only `"tanh"` and `"sigmoid"`, with the reference
            anything that Keras knows.

    Returns:
        `outputs` `[batch, time, units]` and the last `h` `[batch, units]`, differentiable in every
        float input.
    """
    x = tf.convert_to_tensor(x)
    kernels = {"packed": packed, "recurrent_packed": recurrent_packed}
    functions = (activation, recurrent_activation)
    largest = _ranges(x, activations, input_range, rounder, *functions, **kernels)
    native = use_native(
        kernel,
        "gru",
        rounder,
        activation=activation,
        recurrent_activation=recurrent_activation,
        dtype=x.dtype,
        activations=activations,
        grid=packed.grid,
    )
    bias_shape = (2, 3 * packed.grid.units) if reset_after else (3 * packed.grid.units,)
    inputs = checked_sequence(
        "gru", native, x, {"h0": h0}, kernels, largest, bias, mask, bias_shape, rounder
    )
    if native:
        keep = _keep(training, packed, x)
        run = _prepared("gru" if reset_after else "gru_reset_before", prepare and not keep, largest)
        run = run or functools.partial(_native().gru, reset_after=reset_after, keep=keep)
        results = run(*inputs, go_backwards=go_backwards)
    else:
        results = reference.gru(
            *inputs, reset_after, activation, recurrent_activation, go_backwards
        )
    return _finished(results, x, packed)


def _native():
    from keras_sparse_rnn.ops import native  # registers gradients: only where the library is used

    return native


def _prepared(cell, wanted, largest):
    """The native op of prepared cells, for int8 activations or where it is `wanted`; else None."""
    if not (wanted or largest):
        return None
    input_range = largest["packed"] if largest else None
    return functools.partial(_native().prepared, cell, input_range=input_range)


def _keep(training, packed, x):
    return bool(training) and weights_type(packed, x.dtype) == "float32"


def _finished(results, x, packed):
    """What an op returns: in the dtype of x, without a gradient where weights are quantised."""
    results = [tf.cast(result, x.dtype) for result in results]
    if weights_type(packed, x.dtype) != "float32":
        results = [quantization.without_gradient(result) for result in results]
    return tuple(results)


def _ranges(x, activations, input_range, rounder, *functions, **kernels):
    """What 127 stands for in what each of the `kernels` is multiplied with, the input and a state
    that comes out of the activation `functions`: a dict. None of float activations.
    """
    quantization.check_activations(activations, weights_type(kernels["packed"], x.dtype))
    input_range = quantization.check_input_range(input_range, activations)
    if activations != "int8" and rounder is None:
        return None
    ranges = (input_range, integer_reference.state_range(*functions) if functions else None)
    return dict(zip(kernels, ranges))
