"""What units are worth, by their weights."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.criteria import UnitImportance
from keras_sparse_rnn.selection import find_kernels


def model_of():
    model = keras.Sequential(
        [
            keras.Input((3, 5)),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.GRU(6, name="rnn"),
            keras.layers.Dense(2),
        ]
    )
    return model, find_kernels(model, "rnn")


def test_the_weights_into_a_unit():
    model, kernels = model_of()
    weights = np.concatenate([one.numpy() for one in kernels])
    expected = abs(weights).reshape(10, 3, 6).sum(axis=(0, 1))
    for kernel in kernels:
        np.testing.assert_allclose(UnitImportance().unit_scores(kernel, model), expected, 1e-6)


class OwnCell(keras.layers.Layer):
    """A cell laid out as Keras lays out its own, with a gate for the inputs alone."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], 2 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), name="recurrent_kernel")

    def call(self, inputs, states):
        one, gate = keras.ops.split(inputs @ self.kernel, 2, axis=-1)
        output = keras.ops.tanh(one + states[0] @ self.recurrent_kernel) * gate
        return output, [output]


def test_the_weights_into_a_unit_of_a_cell_of_ones_own():
    model = keras.Sequential([keras.Input((3, 5)), keras.layers.RNN(OwnCell(4), name="rnn")])
    kernel, recurrent = (abs(one).sum(axis=0) for one in model.layers[0].get_weights())
    expected = kernel[:4] + kernel[4:] + recurrent
    for one in find_kernels(model):
        np.testing.assert_allclose(UnitImportance().unit_scores(one, model), expected, 1e-6)


def test_the_weights_into_a_unit_of_a_dense_layer():
    model, _ = model_of()
    (kernel,) = find_kernels(model, keras.layers.Dense)
    expected = abs(kernel.numpy()).sum(axis=0)
    np.testing.assert_allclose(UnitImportance().unit_scores(kernel, model), expected, 1e-6)


def test_the_weights_out_of_a_unit():
    model, kernels = model_of()
    expected = abs(kernels[1].numpy()).sum(axis=1) + abs(model.layers[-1].kernel.numpy()).sum(
        axis=1
    )
    scores = UnitImportance("out").unit_scores(kernels[0], model)
    np.testing.assert_allclose(scores, expected, 1e-6)


def test_what_is_added_counts_the_weights_that_read_the_sum():
    inputs = keras.Input((3, 5))
    a = keras.layers.SimpleRNN(4, return_sequences=True, name="a")(inputs)
    b = keras.layers.SimpleRNN(4, return_sequences=True, name="b")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(keras.layers.Add()([a, b])))
    readers = [model.get_layer(name).get_weights()[1] for name in "ab"]
    readers.append(model.get_layer("head").get_weights()[0])
    expected = sum(abs(one).sum(axis=1) for one in readers)
    for name in "ab":
        scores = UnitImportance("out").unit_scores(find_kernels(model, name)[0], model)
        np.testing.assert_allclose(scores, expected, 1e-6)


def test_both_ways_that_are_summed_count_the_weights_that_read_the_sum():
    inputs = keras.Input((3, 5))
    y = keras.layers.Bidirectional(keras.layers.SimpleRNN(4), merge_mode="sum", name="both")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(y))
    both = model.get_layer("both")
    readers = [one.get_weights()[1] for one in (both.forward_layer, both.backward_layer)]
    readers.append(model.get_layer("head").get_weights()[0])
    expected = sum(abs(one).sum(axis=1) for one in readers)
    for kernel in find_kernels(model):
        scores = UnitImportance("out").unit_scores(kernel, model)
        np.testing.assert_allclose(scores, expected, 1e-6)


def test_a_block_is_worth_what_its_units_are():
    model, (kernel, _) = model_of()
    grid = kernel.grid((2, 4))
    units = UnitImportance().unit_scores(kernel, model)
    scores = UnitImportance().block_scores(kernel, grid, model)
    assert scores.shape == grid.shape
    np.testing.assert_allclose(scores[:, 0], np.full((3, 2), units[:4].mean()))
    np.testing.assert_allclose(scores[:, 1], np.full((3, 2), units[4:].mean()))


def test_block_pruning_by_it_drops_whole_units():
    model, kernels = model_of()
    ksr.prune(model, 0.5, (1, 3), criterion=UnitImportance(), layers="rnn")
    dead = (np.concatenate([one.numpy() for one in kernels]) == 0).all(axis=0).reshape(3, 6)
    assert dead.sum(axis=1).tolist() == [3, 3, 3]
    assert (dead == dead[0]).all()


def test_its_config_makes_it_again():
    config = ksr.criteria.serialize(UnitImportance("out"))
    assert ksr.criteria.deserialize(config).direction == "out"


def test_a_model_that_cannot_be_seen_through():
    inputs = keras.Input((3, 5))
    y = keras.layers.GRU(4, name="rnn")(inputs)
    model = keras.Model(inputs, keras.layers.Lambda(lambda y: 2 * y, name="twice")(y))
    with pytest.raises(ValueError, match=r"'twice' \(Lambda\) is a function of your own"):
        UnitImportance("out").unit_scores(find_kernels(model)[0], model)
