"""Schedules that were written in epochs."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.callbacks.schedule_arguments import bound
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import Constant, InEpochs, PolynomialDecay, ThresholdRamp

DECAY = PolynomialDecay(0.1, 0.7, 1, 3)


def test_it_is_the_schedule_of_as_many_steps():
    ours, steps = InEpochs(DECAY, 7), PolynomialDecay(0.1, 0.7, 7, 21)
    assert [ours(step) for step in range(30)] == pytest.approx([steps(step) for step in range(30)])
    assert (ours.begin_step, ours.end_step) == (7, 21)
    for step in range(30):
        assert ours.last_trigger(step, 4) == steps.last_trigger(step, 4)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2, 5)), keras.layers.GRU(11), keras.layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


X = np.random.default_rng(0).normal(size=(40, 2, 5)).astype("float32")


def test_fit_says_how_many_steps_an_epoch_has(model):
    """With the number that a user gives, too, for it is the number of steps that decides."""
    pruning = BlockPruning(InEpochs(DECAY), (1, 1), frequency=1)
    penalty = StrengthSchedule(until=InEpochs(DECAY), regularizer=GroupLasso(1e-4, (1, 1)))
    history = model.fit(
        X, X[:, 0, :2], batch_size=8, epochs=4, verbose=0, callbacks=[pruning, penalty]
    ).history
    expected = [DECAY(epoch) for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(history["sparsity"], expected, atol=0.01)
    assert history["strength_factor"] == [1.0, 1.0, 1.0, 0.0]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_where_fit_does_not_know_it_must_be_given(model):
    def batches():
        for _ in range(10):
            yield X[:8], X[:8, 0, :2]

    specs = tf.TensorSpec((8, 2, 5)), tf.TensorSpec((8, 2))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=specs)
    with pytest.raises(ValueError) as error:
        model.fit(
            dataset, shuffle=False, verbose=0, callbacks=[BlockPruning(InEpochs(DECAY), (1, 1))]
        )
    assert str(error.value) == (
        "`steps_per_epoch` of InEpochs must be given where `fit` does not know how many steps an "
        "epoch has: for a generator or a dataset of unknown length, and in a loop of your own. "
        "Received: steps_per_epoch=None"
    )
    pruning = BlockPruning({"gru*": InEpochs(Constant(0.5, 1), 5)}, (1, 1))
    model.fit(dataset, shuffle=False, verbose=0, callbacks=[pruning])
    assert pruning.sparsity == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "schedule", [0.9, ThresholdRamp(1, 2, 3, 0.1, 0.1), InEpochs(Constant(0.5, 1))]
)
def test_what_cannot_be_in_epochs(schedule):
    with pytest.raises(ValueError, match="`schedule` must be a schedule of keras_sparse_rnn.sched"):
        InEpochs(schedule)


def test_its_configuration_is_saved_and_loaded():
    pruning = BlockPruning(InEpochs(DECAY, 7))
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(pruning))
    assert loaded.get_config() == pruning.get_config() and loaded.schedule(14) == pruning.schedule(
        14
    )


def test_a_number_is_a_sparsity_from_the_first_step_on(model):
    pruning = BlockPruning(0.5, (1, 1))
    model.fit(X, X[:, 0, :2], batch_size=8, verbose=0, callbacks=[pruning])
    assert pruning.sparsity == pytest.approx(0.5, abs=0.01)
    assert BlockPruning.from_config(pruning.get_config()).schedule == 0.5


@pytest.mark.parametrize("accumulation, end", [(4, 50), (20, 10), (3, 66)])
def test_an_epoch_may_end_between_two_steps(accumulation, end):
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=accumulation)
    schedule = bound(InEpochs(PolynomialDecay(0.2, 0.9, 1, 20)), {"steps": 10}, optimizer)
    assert schedule.end_step == end and schedule(end) == 0.9 > schedule(end - 1)
    begin = schedule.begin_step
    assert begin == 10 // accumulation and schedule(begin) >= 0.2
    assert begin == 0 or schedule(begin - 1) == 0


def test_a_second_fit_of_other_batches_goes_on_at_the_same_epoch(model):
    schedule = PolynomialDecay(0.0, 0.8, 0, 10)
    sparsities = []
    for epochs, batch_size in [(3, 4), (1, 20), (1, 4), (5, 8)]:
        pruning = BlockPruning(InEpochs(schedule), (1, 1), frequency=1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Pruning is not finished")
            history = model.fit(
                X, X[:, 0, :2], batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[pruning]
            ).history
        sparsities += history["sparsity"]
    expected = [schedule(epoch) for epoch in range(1, 11)]
    np.testing.assert_allclose(sparsities, expected, atol=0.01)
    model.compile("sgd", "mse", run_eagerly=True)  # a new optimizer begins anew
    pruning = BlockPruning(InEpochs(schedule), (1, 1), frequency=1)
    pruning.set_params({"steps": 2, "epochs": 1})
    assert bound(pruning.schedule, pruning.params, model.optimizer).end_step == 20
