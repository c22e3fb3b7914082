"""Cells in models of which something could be lost, and what else is not to be lost there."""

import keras
import numpy as np
import pytest
from cells import INPUTS, MODELS, TIME, UNITS, functional, x_of
from subclassing import NOT_LOADABLE

import keras_sparse_rnn as ksr

pytestmark = pytest.mark.filterwarnings(NOT_LOADABLE)


class OfALayer(keras.Model):
    """Code that goes on with the cell of a layer."""

    def __init__(self, keep=False, scale=1.0):
        super().__init__(name="of_a_layer")
        self.lstm = keras.layers.LSTM(UNITS, return_state=True, name="lstm")
        self.scale = scale
        if keep:
            self.kept = self.lstm.cell

    def call(self, x):
        output, *states = self.lstm(x)
        return self.lstm.cell(self.scale * x[:, 0], states)[0]


def pruned(model):
    model(x_of())
    return ksr.prune(model, 0.5, (4, 4))


def test_the_cell_of_a_layer_is_that_of_its_twin():
    model, x = pruned(OfALayer()), x_of()
    before = model(x).numpy()
    ksr.substitute(model, (4, 4), in_place=True)
    assert type(model.lstm) is ksr.layers.BlockSparseLSTM
    assert np.abs(model(x).numpy() - before).max() < 2e-6


@pytest.mark.parametrize("sparse", [False, True])
def test_integers_are_calibrated_on_what_the_cell_of_a_layer_gets(sparse):
    model, x = pruned(OfALayer(scale=10.0)), x_of()
    if sparse:
        ksr.substitute(model, (4, 4), in_place=True)
    before, own = model(x).numpy(), vars(model.lstm.cell).get("call")
    old = model.lstm
    ksr.substitute(model, (4, 4), weights="int8", activations="int8", calibration=x, in_place=True)
    assert model.lstm.input_range == pytest.approx(10 * np.abs(x[:, 0]).max(), rel=1e-5)
    assert np.abs(model(x).numpy() - before).max() < 0.05
    assert vars(old.cell).get("call") is own and "inner_loop" not in vars(old)


@pytest.mark.parametrize("function", [ksr.substitute, ksr.to_dense])
def test_a_cell_that_a_layer_has_made_is_not_held_elsewhere(function):
    model, x = pruned(OfALayer(keep=True)), x_of()
    before = model(x).numpy()
    with pytest.raises(ValueError, match=r"write `self.lstm.cell\(...\)`, or the like"):
        function(model, in_place=True)
    assert np.array_equal(model(x), before)


class Tied(keras.Model):
    """The fast layer over the sequence, and a cell of the same layer."""

    def __init__(self):
        super().__init__(name="tied")
        layer = ksr.layers.BlockSparseGRU(8, (4, 4), sparsity=0.5, name="gru")
        self.gru, self.cell = layer, ksr.layers.BlockSparseCell(layer, name="cell")

    def call(self, x):
        state = self.gru(x)
        return self.cell(x[:, 0], [state])[0]


@pytest.mark.parametrize("function", [ksr.substitute, ksr.to_dense])
def test_a_layer_and_a_cell_of_it_are_not_torn_apart(function):
    model = Tied()
    before = model(x_of()).numpy()
    with pytest.raises(
        ValueError, match=r"the layer of a BlockSparseCell .* `self.gru.cell\(...\)"
    ):
        function(model, in_place=True)
    assert len(model.trainable_variables) == 3 and np.array_equal(model(x_of()), before)


def test_wrappers_that_know_the_variables_of_their_layer():
    class Normalized(keras.Model):
        def __init__(self):
            super().__init__(name="normalized")
            self.head = keras.layers.SpectralNormalization(keras.layers.Dense(8))

        def call(self, x, training=None):
            return self.head(x, training=training)

    model, x = Normalized(), np.ones((2, 8), "float32")
    model(x)
    ksr.prune(model, 0.5, (4, 4), layers=keras.layers.Dense)
    ksr.substitute(model, (4, 4), storage="masked", dense=True, in_place=True)
    head = model.head
    assert head.kernel is head.layer.kernel
    before = head.kernel.numpy().copy()
    model(x, training=True)
    assert not np.array_equal(head.layer.kernel, before)


class Plain:
    """A cell that is no layer."""

    state_size, output_size, compute_dtype = [INPUTS], INPUTS, "float32"

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]

    def __call__(self, inputs, states, **_):
        return self.call(inputs, states)


def test_a_cell_without_a_config_is_shared():
    x = keras.Input((TIME, INPUTS))
    outputs = keras.layers.RNN(Plain())(x), keras.layers.LSTM(8)(x)
    model = keras.Model(x, keras.layers.Concatenate()(outputs))
    ksr.prune(model, 0.5, (4, 4), layers=keras.layers.LSTM)
    with pytest.warns(UserWarning, match="'rnn.*' .RNN. left as it is"):
        sparse = ksr.substitute(model, (4, 4))
    assert np.abs(sparse(x_of()) - model(x_of())).max() < 2e-6


def test_units_of_a_model_that_calls_a_cell_are_followed_around_it():
    x, state = keras.Input((INPUTS,)), keras.Input((8,))
    output, _ = keras.layers.GRUCell(8)(x, [state])
    model = keras.Model([x, state], keras.layers.Dense(2)(output))
    inputs = [x_of()[:, 0], np.ones((4, 8), "float32")]
    small = ksr.remove_dead_units(model)
    assert np.abs(small(inputs) - model(inputs)).max() < 1e-6


@pytest.mark.parametrize("sparse", [False, True])
def test_units_of_cells_in_several_places_are_not_removed(sparse):
    model = pruned(MODELS["shared by two layers"]())
    model = ksr.substitute(model, (4, 4)) if sparse else model
    with pytest.raises(ValueError, match="'shared' of class .* is held by 'rnn.*' and by 'rnn.*'"):
        ksr.remove_dead_units(model)


def test_units_of_a_cell_are_removed_from_the_dense_model():
    cell = ksr.layers.BlockSparseCell(ksr.layers.BlockSparseGRU(UNITS, (4, 4), sparsity=0.5))
    model = functional(keras.layers.RNN(cell))
    with pytest.raises(ValueError, match=r"steps a BlockSparseCell. Remove the units of ksr.to_d"):
        ksr.remove_dead_units(model)


def test_the_cell_of_a_subclass_stays():
    """Its class may ask the cell for weights, as that of Keras does."""

    class Own(keras.layers.GRU):
        pass

    model = functional(Own(UNITS, name="own"))
    ksr.prune(model, 0.5, (4, 4))
    with pytest.warns(UserWarning, match="'own' .Own. left as it is"):
        sparse = ksr.substitute(model, (4, 4))
    assert type(sparse.get_layer("own").cell) is keras.layers.GRUCell


@pytest.mark.parametrize("name", ["stack", "own cell", "stack, both ways"])
def test_states_are_those_of_the_dense_model(name):
    """What `geometry` sees, and the criterion that goes by it."""
    model = pruned(MODELS[name]())
    data = np.random.default_rng(3).normal(size=(64, TIME, INPUTS)).astype("float32")
    dense = ksr.geometry.analyze(model, data, console=False)
    for storage in ("packed", "masked"):
        sparse = ksr.substitute(model, (4, 4), storage)
        found = ksr.geometry.analyze(sparse, data, console=False)
        for one, other in zip(found.layers, dense.layers, strict=True):
            assert one.name == other.name
            assert np.allclose(one.covariance, other.covariance, atol=1e-5)
            assert np.allclose(one.input_covariance, other.input_covariance, atol=1e-5)
            assert np.array_equal(one.recurrent_kernel, other.recurrent_kernel)
