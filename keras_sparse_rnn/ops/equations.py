"""One step of each cell: the only place in Python where its equations stand.

The reference runs a `Cell` on tensors, step by step; the export runs one on constants, as LiteRT
likes it. A cell is made of the weights as Keras lays them out and holds them as a step takes them:

- `kernel` and `bias`, of the projection, which does not wait for the state and can be done for all
  steps at once;
- `recurrent`, the list of matrices that a state is multiplied by, and `recurrent_bias`, which is
  added to such a product (None for all but one kind of GRU).

In place of a matrix a cell takes an object that multiplies in its own way (`times(x)`), such as an
`integer_reference.IntegerKernel`.

`step(projected, states)` takes a projected input `[batch, gates * units]` (input times `kernel`,
plus `bias`) and the list of states `[batch, units]` to the new states, of which the first is the
output."""

import copy

import keras
import tensorflow as tf


def product(x, kernel):
    """`x` `[batch, numbers]` times a matrix, or what has `times` in its place."""
    return kernel.times(x) if hasattr(kernel, "times") else tf.matmul(x, kernel)


class Cell:
    """What the cells share: weights (arrays or tensors, `bias` may be None) and activations
    (whatever `keras.activations.get` takes).
    """

    def __init__(self, kernel, recurrent, bias, activation, recurrent_activation=None):
        self.kernel, self.recurrent, self.bias, self.recurrent_bias = kernel, recurrent, bias, None
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)

    def map(self, function):
        """A copy of which each weight is `function(weight)`."""
        new = copy.copy(self)
        new.kernel, new.recurrent = function(self.kernel), [function(one) for one in self.recurrent]
        for name in ("bias", "recurrent_bias"):
            weight = getattr(self, name)
            setattr(new, name, None if weight is None else function(weight))
        return new


class SimpleRNN(Cell):
    """`h = activation(x W + h U + b)`. State h."""

    def __init__(self, kernel, recurrent_kernel, bias, activation):
        super().__init__(kernel, [recurrent_kernel], bias, activation)

    def step(self, projected, states):
        return [self.activation(projected + product(states[0], self.recurrent[0]))]


class LSTM(Cell):
    """`i, f, g, o = x W + h U + b`; `c = s(f) c + s(i) a(g)`; `h = s(o) a(c)`. States h, c; Keras
    calls g the gate c.
    """

    def __init__(self, kernel, recurrent_kernel, bias, activation, recurrent_activation):
        super().__init__(kernel, [recurrent_kernel], bias, activation, recurrent_activation)

    def step(self, projected, states):
        h, c = states
        i, f, g, o = tf.split(projected + product(h, self.recurrent[0]), 4, axis=-1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return [self.recurrent_activation(o) * self.activation(c), c]


class GRU(Cell):
    """`z, r = s(x W + h U + b)`; `h = z h + (1 - z) a(candidate)`. State h.

    With `reset_after` the candidate is `x W + b0 + r (h U + b1)` (bias `[2, 3 * units]`): the
    recurrent bias lies within the reach of the reset gate, so it stays in the step. Else the
    candidate is `x W + b + (r h) U` (bias `[3 * units]`): its part of `U` is a matrix of its own.
    """

    def __init__(
        self, kernel, recurrent_kernel, bias, activation, recurrent_activation, reset_after
    ):
        gates = 2 * (recurrent_kernel.shape[1] // 3)
        parts = [recurrent_kernel]
        if not reset_after:
            parts = [recurrent_kernel[:, :gates], recurrent_kernel[:, gates:]]
        two = reset_after and bias is not None
        super().__init__(kernel, parts, bias[0] if two else bias, activation, recurrent_activation)
        self.recurrent_bias = bias[1] if two else None
        self.reset_after = reset_after

    def step(self, projected, states):
        (h,) = states
        z, r, candidate = tf.split(projected, 3, axis=-1)
        inner = product(h, self.recurrent[0])
        if self.reset_after:
            if self.recurrent_bias is not None:
                inner += self.recurrent_bias
            inner_z, inner_r, inner_h = tf.split(inner, 3, axis=-1)
            inner_h = self.recurrent_activation(r + inner_r) * inner_h
        else:
            inner_z, inner_r = tf.split(inner, 2, axis=-1)
            inner_h = product(self.recurrent_activation(r + inner_r) * h, self.recurrent[1])
        z = self.recurrent_activation(z + inner_z)
        return [z * h + (1 - z) * self.activation(candidate + inner_h)]
