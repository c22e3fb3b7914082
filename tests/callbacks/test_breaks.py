"""After a training that has broken off: no other `fit` is pruned by its callback, and no mask stays
on the model.
"""

import keras
import numpy as np
import pytest
from fitting import HALF, fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.pruning.masks import MaskConstraint
from keras_sparse_rnn.schedules import PolynomialDecay


class Stop(keras.callbacks.Callback):
    """Raises at the end of the third batch, once."""

    raised = False

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and not self.raised:
            self.raised = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("same", [True, False])
def test_a_fit_after_one_that_was_broken_off_has_one_mask(same, make_model, data, assert_sparse):
    model = make_model("gru", recurrent_constraint="non_neg")
    original = kernels(model)[1].constraint
    pruning = BlockPruning(HALF, (3, 2))
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, pruning, Stop())
    assert isinstance(
        kernels(model)[1].constraint, MaskConstraint
    )  # no hook is called when another callback raises
    found = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            found.append(
                (
                    kernels(self.model)[1].constraint.existing,
                    kernels(self.model)[0].constraint.existing,
                )
            )

    fit(model, data, pruning if same else BlockPruning(HALF, (3, 2)), Look())
    assert set(found) == {(original, None)}
    assert kernels(model)[1].constraint is original and kernels(model)[0].constraint is None
    assert_sparse(kernels(model)[1], (3, 2), 3, 0.5)


def test_the_masks_can_be_taken_off_by_hand_after_a_break(make_model, data):
    model, pruning = make_model("gru", recurrent_constraint="non_neg"), BlockPruning(HALF, (3, 2))
    original = kernels(model)[1].constraint
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, pruning, Stop())
    pruning.leave()
    assert kernels(model)[1].constraint is original and kernels(model)[0].constraint is None
    fit(model, data)
    assert (kernels(model)[0].numpy() != 0).all()


def broken_fit(model, data, pruning):
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, pruning, Stop())


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("compiled_anew", [False, True])
@pytest.mark.quick_cases
def test_a_fit_without_the_callback_after_a_break_is_left_alone(
    compiled_anew, eager, make_model, data
):
    model = make_model("gru", recurrent_constraint="non_neg", run_eagerly=eager)
    original = kernels(model)[1].constraint
    pruning = BlockPruning(PolynomialDecay(0.3, 0.8, 2, 9), (3, 2), frequency=1)
    broken_fit(model, data, pruning)
    masks, sparsity = pruning.masks, pruning.sparsity
    assert 0.2 < sparsity < 0.7
    if compiled_anew:
        model.compile("sgd", "mse", run_eagerly=eager)
    history = fit(model, data, epochs=2).history
    assert list(history) == ["loss"] and pruning.sparsity == sparsity
    assert (kernels(model)[0].numpy() != 0).all(), "and what was pruned has come back to life"
    assert kernels(model)[1].constraint is original and kernels(model)[0].constraint is None
    assert all(np.array_equal(masks[name], live) for name, live in pruning.masks.items())


def test_another_callback_after_a_break_prunes_its_own_layers_only(make_model, data):
    model, first = make_model("gru"), BlockPruning(HALF, (3, 2))
    broken_fit(model, data, first)
    fit(model, data, BlockPruning(HALF, (3, 2), layers="head"), epochs=2)
    assert (kernels(model)[0].numpy() != 0).all() and (
        model.get_layer("head").kernel.numpy() == 0
    ).any()
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_a_break_leaves_the_other_model_of_a_callback_alone(make_model, data, assert_sparse):
    first, second = make_model("gru"), make_model("gru")
    pruning = BlockPruning(HALF, (3, 2))
    broken_fit(first, data, pruning)

    class Aside(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            fit(first, data)

    fit(second, data, pruning, Aside())
    assert (kernels(first)[0].numpy() != 0).all()
    assert_sparse(kernels(second)[1], (3, 2), 3, 0.5)
