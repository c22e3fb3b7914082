"""Which layers BlockPruning prunes, wherever they are, and by which schedule."""

import keras
import numpy as np
import pytest
from fitting import fit

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay

layers = keras.layers


def deep():
    """Every way in which layers are put into layers."""
    inputs = keras.Input((3, 5))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True, name="l"), name="both")(inputs)
    inner = keras.Sequential(
        [keras.Input((3, 12)), layers.GRU(5, return_sequences=True, name="inner_gru")], name="inner"
    )
    x = layers.RNN(
        [layers.SimpleRNNCell(5, name="first"), layers.GRUCell(4, name="second")],
        return_sequences=True,
        name="stack",
    )(inner(x))
    x = layers.TimeDistributed(layers.Dense(6, name="d"), name="each")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def test_layers_are_pruned_wherever_they_are(data, assert_sparse):
    model = deep()
    x = np.random.default_rng(0).normal(size=(16, 3, 5)).astype("float32")
    model.compile("adam", "mse", run_eagerly=True)
    layers_before, names = list(model._flatten_layers()), [v.path for v in model.weights]
    pruning = BlockPruning(
        PolynomialDecay(0.0, 0.75, 1, 4), (2, 2), frequency=1, layers=[layers.RNN, "each"]
    )
    fit(model, (x, data[1][:16]), pruning, epochs=3)
    assert len(pruning.masks) == 11
    for _, kernel in pruning.named_kernels():
        assert_sparse(kernel.kernel.variable, (2, 2), kernel.grid.gates, 0.75)
    assert np.count_nonzero(model.get_layer("out").kernel.numpy() == 0) == 0
    assert (
        all(a is b for a, b in zip(model._flatten_layers(), layers_before))
        and [v.path for v in model.weights] == names
    )


class Held(keras.Model):
    """A subclassed model with its layers in a list."""

    def __init__(self):
        super().__init__()
        self.several = [layers.LSTM(6, return_sequences=True), layers.LSTM(7)]
        self.out = layers.Dense(2)

    def call(self, x):
        return self.out(self.several[1](self.several[0](x)))


def test_subclassed_models_are_pruned(data, assert_sparse):
    model = Held()
    model(data[0][:1])
    model.compile("adam", "mse", run_eagerly=True)
    fit(model, data, BlockPruning(Constant(0.5, 2), (2, 3)))
    for layer in model.several:
        assert_sparse(layer.cell.recurrent_kernel, (2, 3), 4, 0.5)


def two_layers():
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(6, return_sequences=True, name="low"),
            layers.GRU(8, name="high"),
            layers.Dense(2, name="head"),
        ]
    )
    model.compile("adam", "mse", run_eagerly=True)
    return model


def recurrent(model, name):
    return model.get_layer(name).cell.recurrent_kernel


def test_layers_follow_schedules_of_their_own(data, assert_sparse):
    model = two_layers()
    pruning = BlockPruning(
        {"low": Constant(0.25, 1), layers.GRU: Constant(0.75, 2), "head": Constant(0.5, 1)}, (2, 2)
    )
    fit(model, data, pruning)
    assert_sparse(recurrent(model, "low"), (2, 2), 3, 0.25)  # the first selector that matches
    assert_sparse(recurrent(model, "high"), (2, 2), 3, 0.75)
    assert_sparse(model.get_layer("head").kernel, (2, 2), 1, 0.5)


def test_several_callbacks_prune_different_layers(data, assert_sparse):
    model = two_layers()
    low = BlockPruning(Constant(0.25, 1), (3, 2), layers="low")
    high = BlockPruning(PolynomialDecay(0, 0.75, 1, 4), (2, 4), frequency=1, layers="high")
    history = fit(model, data, low, high).history
    assert_sparse(recurrent(model, "low"), (3, 2), 3, 0.25)
    assert_sparse(recurrent(model, "high"), (2, 4), 3, 0.75)
    sizes = [sum(live.size for live in one.masks.values()) for one in (low, high)]
    assert min(low.sparsity, high.sparsity) < history["sparsity"][-1] < max(
        low.sparsity, high.sparsity
    ) and all(sizes)
    assert (
        recurrent(model, "low").constraint is None and recurrent(model, "high").constraint is None
    )


def test_two_callbacks_must_not_prune_the_same_layer(data):
    model = two_layers()
    second = {layers.Dense: Constant(0.2, 1), "l*": Constant(0.2, 1)}
    with pytest.raises(ValueError) as error:
        fit(
            model,
            data,
            BlockPruning(Constant(0.2, 1), (2, 2), layers="low"),
            BlockPruning(second, (2, 2)),
        )
    assert str(error.value) == (
        "`layers` of the BlockPruning callbacks of one training must not overlap, but two of them "
        f"prune low/gru_cell/kernel. Received: layers='low' and schedule of [{layers.Dense!r}, "
        "'l*']"
    )


def test_frozen_layers_are_named_and_left_alone(data):
    model = two_layers()
    model.get_layer("low").trainable = False
    model.compile("adam", "mse", run_eagerly=True)
    with pytest.warns(
        UserWarning, match=r"frozen \(trainable=False\) and are not pruned: low/gru_cell$"
    ):
        fit(model, data, BlockPruning(Constant(0.5, 1), (2, 2)))
    assert (recurrent(model, "low").numpy() != 0).all() and (
        recurrent(model, "high").numpy() == 0
    ).any()
