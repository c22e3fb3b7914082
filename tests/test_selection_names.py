"""The names of kernels: unique in the model, short in the logs."""

import keras
import numpy as np

from keras_sparse_rnn.selection import find_kernels, short_names

layers = keras.layers


def names(model):
    return [kernel.name for kernel in find_kernels(model)]


def sequential(*inner, shape=(4, 5)):
    return keras.Sequential([keras.Input(shape), *inner])


def test_equal_names_are_told_apart():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = (layers.LSTM(5, return_sequences=True, name="same") for _ in range(2))

        def call(self, x):
            return self.b(self.a(x))

    model = Twins()
    model(np.zeros((1, 4, 5)))
    assert names(model) == [
        f"same/lstm_cell{n}/{role}" for n in ("", "#2") for role in ("kernel", "recurrent_kernel")
    ]


def test_short_names_are_short_and_unique():
    model = sequential(
        layers.Bidirectional(layers.GRU(6, return_sequences=True, name="g")),
        layers.RNN([layers.LSTMCell(3, name="a"), layers.LSTMCell(4, name="b")]),
    )
    assert short_names(find_kernels(model))[::2] == [
        "forward_g_kernel",
        "backward_g_kernel",
        "a_kernel",
        "b_kernel",
    ]
    first, second = (
        sequential(layers.LSTM(3, return_sequences=True, name="l"), shape=(4, 3)) for _ in range(2)
    )
    first.name, second.name = "first", "second"
    model = keras.Sequential([keras.Input((4, 3)), first, second])
    assert short_names(find_kernels(model)) == [
        f"{part}_l_{role}"
        for part in ("first", "second")
        for role in ("kernel", "recurrent_kernel")
    ]
