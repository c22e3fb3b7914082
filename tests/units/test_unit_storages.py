"""Block-sparse layers become smaller, too, with blocks cut along what is left."""

import warnings

import keras
import numpy as np
import pytest
from dead_units import X, change, difference, sequential, sizes, unread

import keras_sparse_rnn as ksr

layers = keras.layers


def pruned():
    """A model whose LSTM has a whole block of dead units, 4 to 7 of 10, and unit 1."""
    model = sequential(
        layers.LSTM(10, return_sequences=True, name="a"), layers.GRU(6, name="b"), layers.Dense(2)
    )
    dead = [1, 4, 5, 6, 7]
    unread(model.get_layer("a"), dead)
    change(model.get_layer("b"), 0, 0.0, dead)
    change(model.get_layer("b"), 1, 0.0, slice(None), slice(0, 4))
    unread(model.get_layer("b"), [0, 5])
    change(model.layers[-1], 0, 0.0, [0, 5])
    return model


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("block_shape", [(4, 4), (1, 4), (5, 3)])
def test_blocks_are_cut_along_the_units_that_stay(storage, block_shape):
    model = pruned()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers without a zero block stay, blocks are cut to fit
        sparse = ksr.substitute(model, block_shape, storage=storage, dense=True)
    small, error = difference(sparse)
    assert sizes(small) == [5, 4, 2] and error < 1e-6
    assert [type(one) for one in small.layers] == [type(one) for one in sparse.layers]
    plain = ksr.remove_dead_units(model)
    for one, other in zip(ksr.to_dense(small).get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one in [one for one in small.layers[:2] if hasattr(one, "grids")]:
        kernel, recurrent = one.grids
        assert kernel.block_shape[1] <= one.units
        assert max(recurrent.block_shape) <= one.units


def test_a_small_model_of_packed_layers_is_saved_and_loaded(tmp_path):
    small = ksr.remove_dead_units(ksr.substitute(pruned(), (4, 4)))
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(X), small(X))


def test_whole_blocks_of_units_take_their_weights_along_and_nothing_moves():
    model = sequential(layers.SimpleRNN(12, name="a"), layers.Dense(2))
    unread(model.layers[0], slice(4, 8))
    change(model.layers[-1], 0, 0.0, slice(4, 8))
    sparse = ksr.substitute(model, (4, 4))
    before = sparse.layers[0].recurrent_kernel_values.shape[0]
    small = ksr.remove_dead_units(sparse)
    assert (before, small.layers[0].recurrent_kernel_values.shape[0]) == (6, 4)


def test_a_recurrent_kernel_of_which_nothing_is_left():
    model = sequential(layers.SimpleRNN(8, name="a"), layers.Dense(2))
    change(model.layers[0], 1, 0.0, slice(1, 8))
    change(model.layers[-1], 0, 0.0, 0)
    change(model.layers[0], 1, 0.0, slice(0, 1), slice(1, 8))
    change(model.layers[0], 1, 0.5, 0, 0)
    sparse = ksr.substitute(model, (2, 2))
    small, error = difference(sparse)
    assert sizes(small) == [7, 2] and error < 1e-6
