"""Kernels, and plain loops over their blocks in float64 to compare with."""

import keras
import numpy as np

CELLS = {
    "lstm": (keras.layers.LSTM, 4),
    "gru": (keras.layers.GRU, 3),
    "simple_rnn": (keras.layers.SimpleRNN, 1),
}


def random_kernel(inputs, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(inputs, columns))


def blocks_of(shape, gates, block_shape):
    """The slices of each block of a kernel `[inputs, gates * units]`."""
    inputs, units = shape[0], shape[1] // gates
    for gate in range(gates):
        for row in range(0, inputs, block_shape[0]):
            for column in range(0, units, block_shape[1]):
                right = min(column + block_shape[1], units)
                yield (
                    slice(row, min(row + block_shape[0], inputs)),
                    slice(gate * units + column, gate * units + right),
                )


def group_lasso(kernel, gates, block_shape, strength=1.0):
    """The penalty and its gradient, block by block."""
    total, gradient = 0.0, np.zeros(kernel.shape)
    for block in blocks_of(kernel.shape, gates, block_shape):
        weights = np.asarray(kernel[block], np.float64)
        norm, root = np.linalg.norm(weights), np.sqrt(weights.size)
        total += strength * root * norm
        if norm:
            gradient[block] = strength * root * weights / norm
    return total, gradient
