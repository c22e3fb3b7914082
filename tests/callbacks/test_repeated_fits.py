"""Loops of fits of one epoch, trainings that are left in the middle, and steps that were traced
before.
"""

import warnings

import keras
import numpy as np
import pytest
from fitting import HALF, fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, StrengthSchedule
from keras_sparse_rnn.pruning import State
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import PolynomialDecay


class Traces(keras.Sequential):
    """Counts how often its training step is traced."""

    traces = 0

    def train_step(self, *args):
        type(self).traces += 1
        return super().train_step(*args)


@pytest.fixture
def model(make_model):
    Traces.traces = 0
    model = Traces([keras.Input((2, 5)), *make_model("gru").layers])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def one_trace(model, data):
    """How many traces a fit without callbacks takes: Keras may call the step more than once."""
    fit(model, data)
    traces, Traces.traces = Traces.traces, 0
    return traces


def callbacks(kind):
    schedule = PolynomialDecay(0.1, 0.6, 3, 17)
    return {
        "pruning": lambda: [BlockPruning(schedule, (3, 2), frequency=2)],
        "both": lambda: [
            BlockPruning(schedule, (3, 2), frequency=2),
            StrengthSchedule(until=schedule, regularizer=GroupLasso(0.01, (3, 2))),
        ],
        "kept": lambda: [KeepMasks()],
    }[kind]()


@pytest.mark.filterwarnings("ignore:Pruning is not finished")
@pytest.mark.parametrize("kind", ["pruning", "both", "kept"])
@pytest.mark.quick_cases
def test_fits_of_one_epoch_trace_the_step_once(kind, model, data):
    expected, several = one_trace(model, data), callbacks(kind)
    if kind == "kept":
        kernels(model)[1].assign(kernels(model)[1].numpy() * (np.arange(33) % 2))
    for _ in range(4):
        fit(model, data, *several)
    assert Traces.traces == expected
    fit(model, data)
    assert Traces.traces == 2 * expected, "a fit without the callbacks has a step of its own"
    assert (kernels(model)[1].numpy() != 0).all()


@pytest.mark.filterwarnings("ignore:Pruning is not finished")
def test_new_callbacks_in_each_fit_trace_once_too(model, data):
    expected = one_trace(model, data)
    for _ in range(3):
        fit(model, data, *callbacks("pruning"))
    assert Traces.traces == expected


@pytest.mark.filterwarnings("ignore:Pruning is not finished")
def test_fits_of_one_epoch_end_with_the_masks_of_one_fit(make_model, data):
    results = []
    for epochs in ([4], [1] * 4):
        keras.utils.set_random_seed(2)
        model, pruning = make_model("gru", run_eagerly=False), callbacks("pruning")[0]
        for count in epochs:
            model.fit(
                *data, batch_size=8, epochs=count, shuffle=False, verbose=0, callbacks=[pruning]
            )
        results.append((model.get_weights(), list(pruning.masks.values())))
    for one, other in zip(*(weights + masks for weights, masks in results)):
        np.testing.assert_array_equal(one, other)


def test_a_loop_of_fits_is_told_once_that_pruning_is_not_finished(model, data):
    pruning = callbacks("pruning")[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            fit(model, data, pruning)
    told = [str(one.message) for one in caught if "not finished" in str(one.message)]
    assert len(told) == 1 and "training ended at step 5" in told[0]


@pytest.mark.parametrize("eager", [True, False])
def test_another_callback_may_end_pruning_in_the_middle_of_a_fit(eager, make_model, data):
    model, pruning = make_model("gru", run_eagerly=eager), BlockPruning(HALF, (3, 2))

    class Leave(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                pruning.leave()

    fit(model, data, pruning, Leave())
    assert int(model.optimizer.iterations.numpy()) == 5 and pruning.state is State.APART
    assert (kernels(model)[1].numpy() != 0).all(), "and the rest of the fit filled the blocks"
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_one_of_two_callbacks_may_leave(make_model, data, assert_sparse):
    model = make_model("gru", run_eagerly=False)
    lasso = StrengthSchedule(regularizer=GroupLasso(0.01, (3, 2)))

    class Leave(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                lasso.leave()

    fit(model, data, BlockPruning(HALF, (3, 2)), lasso, Leave())
    assert_sparse(kernels(model)[1], (3, 2), 3, 0.5)
    assert all(variable.regularizer is None for variable in kernels(model))


def test_a_step_of_ones_own_may_be_used_in_a_second_training(
    make_model, own_step, data, assert_sparse
):
    model, pruning = make_model("gru"), BlockPruning(PolynomialDecay(0.2, 0.6, 2, 12), (3, 2))
    step = own_step(model, keras.optimizers.Adam(0.05))

    pruning.set_model(model)
    for training in range(2):
        pruning.on_train_begin()
        for number in range(8):
            pruning.on_train_batch_begin(number)
            step(data[0][:8], data[1][:8])
            pruning.on_train_batch_end(number)
        if training:
            pruning.on_train_end()
        else:
            traces = step.experimental_get_tracing_count()
            with pytest.warns(UserWarning, match="Pruning is not finished"):
                pruning.on_train_end()
    assert step.experimental_get_tracing_count() == traces
    assert_sparse(kernels(model)[1], (3, 2), 3, 0.6)


def test_a_step_that_was_traced_before_the_masks_were_there_ends_in_an_error(
    make_model, own_step, data
):
    model, pruning = make_model("gru"), BlockPruning(HALF, (3, 2))
    step = own_step(model, keras.optimizers.SGD(0.05))

    step(data[0][:8], data[1][:8])
    pruning.set_model(model)
    pruning.on_train_begin()
    with pytest.raises(RuntimeError, match="The training step before step 3 has changed .* traced"):
        for number in range(4):
            pruning.on_train_batch_begin(number)
            step(data[0][:8], data[1][:8])
            pruning.on_train_batch_end(number)


def test_sparsities_are_counted_when_a_mask_changes_and_not_at_every_step(
    make_model, data, monkeypatch
):
    from keras_sparse_rnn.patterns import BlockGrid
    from keras_sparse_rnn.pruning.masks import KernelMask

    counted = []
    count = KernelMask.live.fset

    def live(mask, value):
        counted.append(mask.name)
        count(mask, value)

    monkeypatch.setattr(KernelMask, "live", KernelMask.live.setter(live))
    monkeypatch.setattr(BlockGrid, "sparsity", None)  # nor in another way
    model = make_model("gru")
    history = fit(model, data, BlockPruning(HALF, (1, 1)), epochs=4).history
    assert history["sparsity"][-1] == pytest.approx(0.5, abs=0.01)
    assert len(counted) == 2 * 4  # made, found, begun, and taken at step 2
