"""Blocks are cut to layers that are smaller, and said to be."""

import keras
import numpy as np
import pytest
from fitting import HALF, fit

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning

layers = keras.layers


def compiled(*parts):
    model = keras.Sequential([keras.Input((2, 5)), *parts, layers.Dense(2, name="head")])
    model.compile("adam", "mse", run_eagerly=True)
    return model


def test_one_small_layer_among_large_ones_does_not_stop_a_fit(data, assert_sparse):
    large, small = layers.LSTM(32, return_sequences=True, name="large"), layers.GRU(8, name="small")
    model, pruning = compiled(large, small), BlockPruning(HALF)
    with pytest.warns(UserWarning) as caught:
        fit(model, data, pruning)
    assert [str(one.message) for one in caught] == [
        "Blocks of (16, 16) are larger than one gate of these kernels, which are cut in smaller "
        "ones: small/gru_cell in (8, 8), one block a gate. Give `block_shape` for the "
        "smallest layer, or leave small layers out with `layers`"
    ]
    assert_sparse(large.cell.recurrent_kernel, (16, 16), 4, 0.5)
    assert (small.cell.recurrent_kernel.numpy() != 0).all()


def test_blocks_are_cut_in_the_direction_in_which_they_are_too_large(data, assert_sparse):
    model = compiled(layers.GRU(11, name="rnn"))
    with pytest.warns(UserWarning, match=r"ones: rnn/gru_cell in \(11, 2\)\. Give"):
        fit(model, data, BlockPruning(HALF, (12, 2)))
    assert_sparse(model.get_layer("rnn").cell.recurrent_kernel, (11, 2), 3, 0.5)
    assert_sparse(model.get_layer("rnn").cell.kernel, (11, 2), 3, 0.5)


def test_dense_layers_too(data):
    model = compiled(layers.GRU(4, name="rnn"))
    with pytest.warns(UserWarning, match=r"ones: head in \(4, 1\)|ones: head in \(4, 2\)"):
        fit(model, data, BlockPruning(HALF, (8, 1), layers="head"))


def test_gates_that_lose_all_of_their_recurrent_kernel_are_named_once(data):
    model = compiled(layers.LSTM(16, name="rnn"))
    cell = model.get_layer("rnn").cell
    cell.recurrent_kernel.assign(cell.recurrent_kernel.numpy() * np.repeat([1, 9, 9, 1], 16))
    with pytest.warns(UserWarning) as caught:
        fit(model, data, BlockPruning(HALF, (4, 4), scope="kernel"), epochs=2)
    assert [str(one.message) for one in caught] == [
        "Gates have lost all blocks of their recurrent kernel and no longer see the state: "
        "rnn/lstm_cell/recurrent_kernel: i, o of 4 gates. To keep some in each, use scope='gate', "
        "minimum_density=0.05 or smaller blocks than (4, 4)."
    ]


def test_prune_at_once_cuts_them_too():
    model = compiled(layers.LSTM(8, name="rnn"))
    with pytest.warns(UserWarning, match=r"rnn/lstm_cell in \(8, 8\), one block a gate"):
        ksr.prune(model)
