"""The best epoch of a model that is pruned is looked for among those of the final sparsity."""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth, UnitPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay


class Worse(keras.callbacks.Callback):
    """Makes every epoch look worse than the one before, and notes its weights."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = float(epoch)
        self.weights.append(self.model.get_weights())


def test_that_of_keras_brings_back_dense_weights_and_the_script_goes_on_with_a_warning(
    make_model, data
):
    model, worse = make_model("gru"), Worse()
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, restore_best_weights=True)
    pruning = BlockPruning(Constant(0.5, 8), (3, 2))
    with pytest.warns(UserWarning) as caught:
        fit(model, data, pruning, worse, stopping, epochs=3)
    asked = [mask.dead / mask.elements for _, mask in pruning.named_kernels()]
    assert [str(one.message) for one in caught] == [
        "After the last step, something has changed the weights, which are not as sparse as was "
        f"asked: rnn/gru_cell/kernel should have a sparsity of {asked[0]:.4f} and has 0.0000; "
        f"rnn/gru_cell/recurrent_kernel should have a sparsity of {asked[1]:.4f} and has 0.0000. "
        "They are left as they are. EarlyStopping(restore_best_weights=True) does this, where the "
        "best epoch was one before the pruning was finished: use ksr.callbacks.EarlyStopping in "
        "its place, which looks only at epochs of the final sparsity. So does another model that "
        "trains the same layer"
    ]
    for there, best in zip(model.get_weights(), worse.weights[0]):
        np.testing.assert_array_equal(there, best)


def test_ours_takes_the_best_of_the_epochs_at_the_final_sparsity(make_model, data, assert_sparse):
    model, worse = make_model("gru"), Worse()
    pruning = BlockPruning(PolynomialDecay(0.1, 0.5, 3, 13), (3, 2), frequency=2)
    stopping = ksr.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    fit(model, data, pruning, worse, stopping, epochs=9)  # five steps each: finished in the third
    assert stopping.best_epoch == 2 and stopping.stopped_epoch == 3
    for there, best in zip(model.get_weights(), worse.weights[2]):
        np.testing.assert_array_equal(there, best)
    assert_sparse(kernels(model)[1], (3, 2), 3, 0.5)


def test_that_of_keras_brings_back_other_blocks_where_blocks_come_back(make_model, data):
    model, regrowth = make_model("gru", optimizer="adam"), Regrowth(0.5, until=9)
    pruning = BlockPruning(Constant(0.5, 1), (3, 2), frequency=2, regrowth=regrowth)
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    with pytest.warns(UserWarning, match="rnn/gru_cell/kernel has other live blocks than"):
        fit(model, data, pruning, Worse(), stopping, epochs=2)


def test_it_waits_for_units_too(make_model, data):
    model = make_model("gru")
    pruning = UnitPruning(PolynomialDecay(0.1, 0.5, 3, 13), frequency=2)
    stopping = ksr.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    fit(model, data, pruning, Worse(), stopping, epochs=9)
    assert stopping.best_epoch == 2 and pruning.is_finished
    bias = model.get_layer("rnn").cell.bias.numpy()
    assert (bias == 0).all(axis=0).reshape(3, 11).all(axis=0).sum() == 6


def test_without_pruning_it_is_that_of_keras(make_model, data):
    found = []
    for kind in (keras.callbacks.EarlyStopping, ksr.callbacks.EarlyStopping):
        stopping = kind("loss", patience=1, restore_best_weights=True)
        fit(make_model("gru"), data, Worse(), stopping, epochs=9)
        found.append((stopping.best_epoch, stopping.stopped_epoch))
    assert found[0] == found[1] == (0, 1)
