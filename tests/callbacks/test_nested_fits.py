"""Trainings that go on at a time: a `fit` inside a `fit`, models that share layers or regularizers,
and callbacks that come and go beside each other.
"""

import gc
import weakref

import keras
import numpy as np
import pytest
from fitting import HALF, fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, StrengthSchedule
from keras_sparse_rnn.pruning import State
from keras_sparse_rnn.pruning.masks import MaskConstraint
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import Constant, InEpochs, PolynomialDecay

layers = keras.layers


class At(keras.callbacks.Callback):
    """Calls a function at the end of an epoch."""

    def __init__(self, epoch, function):
        super().__init__()
        self.epoch, self.function = epoch, function

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.function()


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.quick_cases
def test_pruning_goes_on_after_a_fit_inside_a_callback(eager, epoch, make_model, data):
    """Also if that comes after the last step."""
    model = make_model("gru", run_eagerly=eager)
    pruning = BlockPruning(PolynomialDecay(0.1, 0.6, 2, 12), (3, 2), frequency=2)
    history = fit(model, data, pruning, At(epoch, lambda: fit(model, data)), epochs=4).history
    assert history["sparsity"][-1] == pytest.approx(0.6, abs=0.05)
    for variable in kernels(model):
        assert (variable.numpy() == 0).mean() == pytest.approx(0.6, abs=0.06)
        assert variable.constraint is None
    assert pruning.state is State.APART


def test_zeros_are_kept_and_penalties_counted_after_a_fit_inside_a_callback(make_model, data):
    model = ksr.prune(make_model("gru"), 0.5, (3, 2))
    lasso = StrengthSchedule(regularizer=GroupLasso(0.1, (3, 2)))
    penalties = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: penalties.append(len(model.losses))
    )
    inner = At(1, lambda: fit(model, data))
    fit(model, data, KeepMasks(), lasso, inner, look, epochs=3)
    assert penalties == [2] * 15


def test_logs_say_nothing_of_a_callback_that_has_left(make_model, data):
    model = make_model("gru")
    pruning = BlockPruning(HALF, (3, 2))
    lasso = StrengthSchedule(regularizer=GroupLasso(0.1, (3, 2)))

    def leave():
        pruning.leave()
        lasso.leave()

    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(set(logs)))
    fit(model, data, At(0, leave), pruning, lasso, look, epochs=2)
    assert seen[1] == {"loss"}


def test_no_mask_is_left_in_another_model_that_shares_the_layer(data):
    inputs, layer = keras.Input((2, 5)), layers.GRU(11, name="rnn")
    first, second = (keras.Model(inputs, layers.Dense(2)(layer(inputs))) for _ in range(2))
    for model in (first, second):
        model.compile("sgd", "mse")
    fit(first, data, BlockPruning(HALF, (3, 2)), At(0, lambda: fit(second, data)))
    generator = np.random.default_rng(0)
    layer.cell.recurrent_kernel.assign(generator.normal(size=(11, 33)))
    fit(second, data)
    assert (layer.cell.recurrent_kernel.numpy() != 0).all()


def test_models_may_share_a_regularizer_and_train_inside_each_other(data):
    lasso = GroupLasso(0.5, (3, 2))

    def compiled():
        rnn = layers.SimpleRNN(11, recurrent_regularizer=lasso)
        model = keras.Sequential([keras.Input((2, 5)), rnn, layers.Dense(2)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    outer, inner, seen = compiled(), compiled(), []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(float(lasso.strength.numpy()))
    )
    train_inner = At(0, lambda: fit(inner, data, StrengthSchedule(until=3)))
    half = StrengthSchedule(ksr.schedules.PiecewiseLinear([(0, 0.5)]))
    fit(outer, data, half, look, train_inner, epochs=2)
    assert seen == [0.25] * 10 and float(lasso.strength.numpy()) == 0.5


@pytest.mark.parametrize("first", [True, False])
def test_zeros_are_kept_beside_pruning_in_either_order(first, data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(6, return_sequences=True, name="low"),
            layers.GRU(8, name="high"),
            layers.Dense(2),
        ]
    )
    ksr.prune(model, 0.5, (2, 2))
    model.compile("adam", "mse", run_eagerly=True)
    low = model.get_layer("low").cell.recurrent_kernel
    before = low.numpy() == 0
    both = [KeepMasks(), BlockPruning(Constant(0.75, 2), (2, 2), layers="high")]
    fit(model, data, *(both if first else both[::-1]))
    np.testing.assert_array_equal(low.numpy() == 0, before)
    high = model.get_layer("high").cell.recurrent_kernel
    assert (high.numpy() == 0).mean() == pytest.approx(0.75, abs=0.05)
    assert all(variable.constraint is None for variable in model.trainable_variables)


@pytest.mark.parametrize("before", [True, False])
def test_weights_restored_at_the_end_of_an_epoch_end_in_a_warning(before, make_model, data):
    model = make_model("gru")
    dense, pruning = model.get_weights(), BlockPruning(HALF, (3, 2))
    restore = At(1, lambda: model.set_weights(dense))
    with pytest.warns(UserWarning, match="After the last step, something has changed the weights"):
        fit(model, data, *([restore, pruning] if before else [pruning, restore]), epochs=2)


def test_a_callback_that_does_not_fit_sends_away_those_that_have_joined(make_model, data):
    model = make_model("gru")
    recipe, another = (StrengthSchedule(regularizer=GroupLasso(0.1, (3, 2))) for _ in range(2))
    pruning = BlockPruning(HALF, (3, 2))
    with pytest.raises(ValueError, match="Only one StrengthSchedule"):
        fit(model, data, pruning, recipe, another)
    assert pruning.state is recipe.state is State.APART and not model.losses
    assert not any(isinstance(v.constraint, MaskConstraint) for v in model.trainable_variables)


def test_epochs_are_of_steps_and_not_of_batches(make_model, data):
    """An optimizer that accumulates gradients makes a step of several batches."""
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=5)
    schedule = InEpochs(PolynomialDecay(0.1, 0.5, 1, 3))
    history = fit(
        make_model("gru", optimizer=optimizer),
        data,
        BlockPruning(schedule, (1, 1), frequency=1),
        epochs=4,
    ).history
    expected = [PolynomialDecay(0.1, 0.5, 1, 3)(epoch) for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(history["sparsity"], expected, atol=0.01)


def test_a_model_does_not_keep_the_callback_of_its_last_training(make_model, data):
    model, pruning = make_model("gru", run_eagerly=False), BlockPruning(HALF, (3, 2))
    fit(model, data, pruning)
    reference = weakref.ref(pruning)
    pruning.set_model(None)
    del pruning
    model.history = None  # Keras's, which holds all callbacks of a fit by its parameters
    gc.collect()
    assert reference() is None


def test_a_layer_is_selected_by_its_name_and_not_by_itself(make_model, data):
    model = make_model("gru")
    with pytest.raises(ValueError) as error:
        BlockPruning(HALF, layers=model.layers[0])
    assert str(error.value) == (
        "`layers` must name layers: give the name of this one, 'rnn'. Received: layers=<GRU "
        "name=rnn, built=True>"
    )
