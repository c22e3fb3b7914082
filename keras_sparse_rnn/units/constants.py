"""Units that are one number, whatever the model is given.

Of a gated cell that number is zero: any other value is reached only after some steps. Sums are
taken in float64; the activation is the layer's own."""

import keras
import numpy as np

from keras_sparse_rnn.units.channels import VARIES
from keras_sparse_rnn.units.kinds import MASKED_MERGES, POOLINGS

STEPS = 5  # of what is made of a sequence of any length, at least


def of_outputs(layer, inputs, weights, bias):
    """The values of the outputs of a `Dense` layer, or of a convolution.

    Args:
        layer: it.
        inputs: the `Channels` that it reads.
        weights: float64 `[taps, inputs, units]`.
        bias: float64 `[units]`.
    """
    fixed = (weights[:, inputs.varies] == 0).all(axis=(0, 1))
    sums = bias + inputs.constants @ weights.sum(axis=0)
    values = _activated(layer.activation, sums, layer.compute_dtype)
    return np.where(fixed, values, VARIES)


def of_states(cell, gates, inputs, weights, recurrent, biases, states, masked):
    """The values of the state `h` of a recurrent layer, float64 `[units]`.

    By induction over the steps: units that begin at zero stay there if their candidate is zero as
    long as they are. For an LSTM and a GRU that is all; a unit of a SimpleRNN is its candidate.

    Args:
        cell: an LSTM, GRU or SimpleRNN cell.
        gates: how many it has: 4, 3 or 1.
        inputs: the `Channels` that it reads.
        weights, recurrent: its kernels, float64 `[1, inputs or units, gates * units]`.
        biases: float64 `[2, gates * units]`, of the inputs and of the recurrence.
        states: list of float64 `[units]`, what is known of the initial states.
        masked: whether steps may be left out, at the first of which the state is the initial one.
    """
    units = recurrent.shape[1]
    candidate = slice({4: 2, 3: 2, 1: 0}[gates] * units, {4: 3, 3: 3, 1: 1}[gates] * units)
    weights, recurrent = weights[0, :, candidate], recurrent[0, :, candidate]
    own, other = biases[:, candidate]
    zero = np.all([state == 0 for state in states], axis=0) & (other == 0)
    zero &= _activated(cell.activation, np.zeros(1), cell.compute_dtype) == 0
    fixed = (weights[inputs.varies] == 0).all(axis=0)
    values = _activated(cell.activation, own + inputs.constants @ weights, cell.compute_dtype)
    zero &= fixed & (values == 0)
    while not np.array_equal(zero, smaller := zero & (recurrent[~zero] == 0).all(axis=0)):
        zero = smaller
    if gates == 1 and not masked:
        fixed &= (recurrent[~zero] == 0).all(axis=0)
        return np.where(zero, 0.0, np.where(fixed, values, VARIES))
    return np.where(zero, 0.0, VARIES)


def of_columns(weights):
    """The values of the outputs of an `Embedding`, of its weights `[1, inputs, units]`."""
    (weights,) = weights
    return np.where((weights == weights[:1]).all(axis=0), weights[0], VARIES)


def of_any(layer, inputs, shapes, masked):
    """The values of the outputs of a layer that treats each channel by itself: it is called on
    constants.

    Args:
        layer: it.
        inputs: list of `Channels`.
        shapes: those of the tensors that it is given; None where a size is not known.
        masked: whether steps may be left out.
    """
    nothing = np.full(len(inputs[0]), VARIES)
    varies = np.any([one.varies for one in inputs], axis=0)
    if varies.all() or (masked and isinstance(layer, MASKED_MERGES)):
        return nothing
    # A pooling or a cropping takes some.
    lost = np.sum(getattr(layer, "pool_size", 0)) + np.sum(getattr(layer, "cropping", 0))
    given = [
        keras.ops.convert_to_tensor(
            np.broadcast_to(one.constants, [size or STEPS + lost for size in shape]),
            layer.compute_dtype,
        )
        for one, shape in zip(inputs, shapes)
    ]
    with keras.StatelessScope():
        outputs = np.asarray(layer(given if len(given) > 1 else given[0]), np.float64)
    outputs = outputs.reshape(-1, outputs.shape[-1])
    if not len(outputs):
        return nothing
    values = np.where((outputs == outputs[:1]).all(axis=0) & ~varies, outputs[0], VARIES)
    if masked and isinstance(layer, POOLINGS):  # of no step at all it is 0 / 0
        return np.where(values == 0, 0.0, VARIES)
    return values


def _activated(activation, values, dtype):
    if activation is None:
        return values
    return np.asarray(activation(keras.ops.convert_to_tensor(values, dtype)), np.float64)
