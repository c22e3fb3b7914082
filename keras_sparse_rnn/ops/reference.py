"""The block-sparse ops in plain TensorFlow, on dense kernels.

They are what the native ops are checked against, and what runs where the native ops cannot: other
activations, other dtypes, GPUs, XLA, a machine without a compiler. They compute in the dtype of
their input, float64 included, and TensorFlow differentiates them.

Time and masks behave as in Keras's own recurrent layers: where the mask is False the states are
carried over and the output repeats the output before; before the first step that counts, the output
is zero, whatever the initial state."""

import keras
import tensorflow as tf


def matmul(x, kernel):
    """`x` `[..., inputs]` times `kernel` `[inputs, outputs]`."""
    return tf.tensordot(x, kernel, 1)


def simple_rnn(x, h0, kernel, recurrent_kernel, bias, mask, activation, go_backwards):
    """`h = activation(x W + h U + b)`. Returns `outputs, h`."""
    activation = keras.activations.get(activation)

    def step(projected, states):
        h = activation(projected + tf.matmul(states[0], recurrent_kernel))
        return h, (h,)

    outputs, states = _over_time(step, _project(x, kernel, bias), (h0,), mask, go_backwards)
    return outputs, *states


def lstm(
    x, h0, c0, kernel, recurrent_kernel, bias, mask, activation, recurrent_activation, go_backwards
):
    """`i, f, g, o = x W + h U + b`; `c = s(f) c + s(i) a(g)`; `h = s(o) a(c)`. Returns `outputs, h,
    c`.
    """
    activation = keras.activations.get(activation)
    recurrent_activation = keras.activations.get(recurrent_activation)

    def step(projected, states):
        h, c = states
        i, f, g, o = tf.split(projected + tf.matmul(h, recurrent_kernel), 4, axis=-1)
        c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h = recurrent_activation(o) * activation(c)
        return h, (h, c)

    outputs, states = _over_time(step, _project(x, kernel, bias), (h0, c0), mask, go_backwards)
    return outputs, *states


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
    """`z, r = s(x W + h U + b)`; `h = z h + (1 - z) a(candidate)`. Returns `outputs, h`.

    With `reset_after` the candidate is `x W + b0 + r (h U + b1)` (bias `[2, 3 * units]`), else `x W
    + b + (r h) U` (bias `[3 * units]`).
    """
    activation = keras.activations.get(activation)
    recurrent_activation = keras.activations.get(recurrent_activation)
    units = h0.shape[-1]
    input_bias, recurrent_bias = bias, None
    if reset_after and bias is not None:
        input_bias, recurrent_bias = tf.unstack(bias)

    def step(projected, states):
        h = states[0]
        if reset_after:
            inner = tf.matmul(h, recurrent_kernel)
            if recurrent_bias is not None:
                inner += recurrent_bias
        else:
            inner = tf.matmul(h, recurrent_kernel[:, : 2 * units])
        z = recurrent_activation(projected[:, :units] + inner[:, :units])
        r = recurrent_activation(projected[:, units : 2 * units] + inner[:, units : 2 * units])
        if reset_after:
            candidate = r * inner[:, 2 * units :]
        else:
            candidate = tf.matmul(r * h, recurrent_kernel[:, 2 * units :])
        h = z * h + (1 - z) * activation(projected[:, 2 * units :] + candidate)
        return h, (h,)

    outputs, states = _over_time(step, _project(x, kernel, input_bias), (h0,), mask, go_backwards)
    return outputs, *states


def _project(x, kernel, bias):
    projected = matmul(x, kernel)
    return projected if bias is None else projected + bias


def _over_time(step, inputs, states, mask, go_backwards):
    """Runs `step(input [B, F], states) -> output [B, U], states` over `inputs` `[B, T, F]`; returns
    outputs `[B, T, U]` and the last states.
    """
    inputs = tf.transpose(inputs, (1, 0, 2))
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
        output, new_states = step(inputs_of.read(time), states)
        if mask_of is not None:
            counts = mask_of.read(time)
            output = tf.where(counts, output, last_output)
            new_states = tuple(tf.where(counts, new, old) for new, old in zip(new_states, states))
        return time + 1, outputs.write(time + 1, output), output, *new_states

    _, outputs, _, *states = tf.while_loop(
        lambda time, *_: time < length, body, (0, outputs, zero, *states), maximum_iterations=length
    )
    return tf.transpose(outputs.stack()[1:], (1, 0, 2)), states
