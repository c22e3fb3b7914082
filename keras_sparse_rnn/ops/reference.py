"""The block-sparse ops in plain TensorFlow, on dense kernels.

They are what the native ops are checked against, and what runs where the native ops cannot: other
activations, other dtypes, GPUs, XLA, a machine without a compiler. They compute in the dtype of
their input, float64 included, and TensorFlow differentiates them.

Time and masks behave as in Keras's own recurrent layers: where the mask is False the states are
carried over and the output repeats the output before; before the first step that counts, the output
is zero, whatever the initial state."""

import tensorflow as tf

from keras_sparse_rnn.ops import equations


def matmul(x, kernel):
    """`x` `[..., inputs]` times `kernel` `[inputs, outputs]`, a tensor or an `IntegerKernel`."""
    return kernel.times(x) if hasattr(kernel, "times") else tf.tensordot(x, kernel, 1)


def simple_rnn(x, h0, kernel, recurrent_kernel, bias, mask, activation, go_backwards):
    """A whole sequence through `equations.SimpleRNN`. Returns `outputs, h`."""
    cell = equations.SimpleRNN(kernel, recurrent_kernel, bias, activation)
    return _over_time(cell, x, (h0,), mask, go_backwards)


def lstm(
    x, h0, c0, kernel, recurrent_kernel, bias, mask, activation, recurrent_activation, go_backwards
):
    """A whole sequence through `equations.LSTM`. Returns `outputs, h, c`."""
    cell = equations.LSTM(kernel, recurrent_kernel, bias, activation, recurrent_activation)
    return _over_time(cell, x, (h0, c0), mask, go_backwards)


def gru(
    x,
    h0,
    kernel,
    recurrent_kernel,
    bias,
    mask,
    reset_after,
    activation,
    recurrent_activation,
    go_backwards,
):
    """A whole sequence through `equations.GRU`. Returns `outputs, h`."""
    cell = equations.GRU(
        kernel, recurrent_kernel, bias, activation, recurrent_activation, reset_after
    )
    return _over_time(cell, x, (h0,), mask, go_backwards)


def _over_time(cell, x, states, mask, go_backwards):
    """Runs an `equations.Cell` over `x` `[batch, time, inputs]`; returns the outputs `[batch, time,
    units]` and the last states.
    """
    projected = matmul(x, cell.kernel)
    inputs = tf.transpose(projected if cell.bias is None else projected + cell.bias, (1, 0, 2))
    mask = None if mask is None else tf.transpose(tf.cast(mask, tf.bool))[..., None]
    if go_backwards:
        inputs = tf.reverse(inputs, (0,))
        mask = None if mask is None else tf.reverse(mask, (0,))
    length = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]
    inputs_of = tf.TensorArray(inputs.dtype, length, element_shape=inputs.shape[1:]).unstack(inputs)
    mask_of = (
        None
        if mask is None
        else tf.TensorArray(tf.bool, length, element_shape=mask.shape[1:]).unstack(mask)
    )
    # One element more than there are steps: an empty TensorArray cannot be stacked when the batch
    # size is not known.
    zero = tf.zeros_like(states[0])
    outputs = tf.TensorArray(zero.dtype, length + 1, element_shape=states[0].shape).write(0, zero)

    def body(time, outputs, last_output, *states):
        new_states = cell.step(inputs_of.read(time), states)
        output = new_states[0]
        if mask_of is not None:
            counts = mask_of.read(time)
            output = tf.where(counts, output, last_output)
            new_states = [tf.where(counts, new, old) for new, old in zip(new_states, states)]
        return time + 1, outputs.write(time + 1, output), output, *new_states

    _, outputs, _, *states = tf.while_loop(
        lambda time, *_: time < length, body, (0, outputs, zero, *states), maximum_iterations=length
    )
    return tf.transpose(outputs.stack()[1:], (1, 0, 2)), *states
