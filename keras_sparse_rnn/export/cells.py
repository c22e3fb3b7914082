"""The step of each Keras cell on constant weights, split so that what does not wait for the state
can be done for all steps at once.

A cell here has the matrices and vectors as numpy arrays, `constants()` to make them constants of
the graph that is being traced, and `step(projected, states)`, which takes one step from its
projected input (input times `kernel`, plus `bias`) and the states to the new states, the first of
which is the output."""

import copy

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import layers


class Cell:
    """What the cells share: `kernel` and `bias` of the projection, and `recurrent`, the matrices
    that the state is multiplied by.
    """

    def __init__(self, cell, kernel, recurrent, bias):
        self.kernel, self.recurrent, self.bias, self.recurrent_bias = kernel, recurrent, bias, None
        self.activation = cell.activation or (lambda x: x)

    def constants(self):
        """A copy whose arrays are TensorFlow constants, each made once however often it is used."""
        new = copy.copy(self)
        new.kernel = tf.constant(self.kernel)
        new.recurrent = [tf.constant(matrix) for matrix in self.recurrent]
        new.bias = None if self.bias is None else tf.constant(self.bias)
        new.recurrent_bias = (
            None if self.recurrent_bias is None else tf.constant(self.recurrent_bias)
        )
        return new


class LSTM(Cell):
    """States h, c; gates i, f, c, o."""

    def __init__(self, cell, kernel, recurrent_kernel, bias):
        super().__init__(cell, kernel, [recurrent_kernel], bias)
        self.recurrent_activation = cell.recurrent_activation

    def step(self, projected, states):
        h, c = states
        i, f, g, o = tf.split(projected + tf.matmul(h, self.recurrent[0]), 4, axis=-1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return [self.recurrent_activation(o) * self.activation(c), c]


class GRU(Cell):
    """State h; gates z, r, h. With `reset_after` the recurrent bias lies within the reach of the
    reset gate, so it stays in the step.
    """

    def __init__(self, cell, kernel, recurrent_kernel, bias):
        self.reset_after = cell.reset_after
        split = [0, 3 * cell.units] if cell.reset_after else [0, 2 * cell.units, 3 * cell.units]
        parts = [
            np.ascontiguousarray(recurrent_kernel[:, start:stop])
            for start, stop in zip(split, split[1:])
        ]
        two = cell.reset_after and bias is not None
        super().__init__(cell, kernel, parts, bias[0] if two else bias)
        self.recurrent_bias = bias[1] if two else None
        self.recurrent_activation = cell.recurrent_activation

    def step(self, projected, states):
        (h,) = states
        z, r, candidate = tf.split(projected, 3, axis=-1)
        inner = tf.matmul(h, self.recurrent[0])
        if self.reset_after:
            if self.recurrent_bias is not None:
                inner += self.recurrent_bias
            inner_z, inner_r, inner_h = tf.split(inner, 3, axis=-1)
            inner_h = self.recurrent_activation(r + inner_r) * inner_h
        else:
            inner_z, inner_r = tf.split(inner, 2, axis=-1)
            inner_h = tf.matmul(self.recurrent_activation(r + inner_r) * h, self.recurrent[1])
        z = self.recurrent_activation(z + inner_z)
        return [z * h + (1 - z) * self.activation(candidate + inner_h)]


class SimpleRNN(Cell):
    """State h."""

    def __init__(self, cell, kernel, recurrent_kernel, bias):
        super().__init__(cell, kernel, [recurrent_kernel], bias)

    def step(self, projected, states):
        return [self.activation(projected + tf.matmul(states[0], self.recurrent[0]))]


KINDS = {
    keras.layers.LSTM: LSTM,
    keras.layers.GRU: GRU,
    keras.layers.SimpleRNN: SimpleRNN,
    layers.BlockSparseLSTM: LSTM,
    layers.BlockSparseGRU: GRU,
    layers.BlockSparseSimpleRNN: SimpleRNN,
}


def of(layer):
    """The cell of a built `LSTM`, `GRU`, `SimpleRNN` or block-sparse twin of these; None for any
    other layer, subclasses included.
    """
    if type(layer) not in KINDS:
        return None
    cell = layer.cell
    block_sparse = hasattr(layer, "dense_kernels")
    kernels = (
        layer.dense_kernels()
        if block_sparse
        else (cell.kernel.numpy(), cell.recurrent_kernel.numpy())
    )
    bias = None if cell.bias is None else cell.bias.numpy().astype(np.float32)
    return KINDS[type(layer)](cell, *(kernel.astype(np.float32) for kernel in kernels), bias)
