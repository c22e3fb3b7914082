"""Whole units are dropped while a model trains, and can be taken out after it."""

import keras
import numpy as np
import pytest
from fitting import fit

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import UnitPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay

layers = keras.layers


@pytest.fixture
def data(data):
    """Three steps of it."""
    return tuple(one[:24] for one in data)


def model_of(*inner, optimizer="adam"):
    model = keras.Sequential([keras.Input((2, 5)), *inner, layers.Dense(2, name="head")])
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_units_are_dropped_until_the_schedule_is_met_and_can_be_removed(kind, data):
    model = model_of(kind(8, bias_initializer="ones", unroll=True, name="rnn"))
    pruning = UnitPruning(PolynomialDecay(0.0, 0.5, 1, 3), frequency=1)
    assert fit(model, data, pruning).history["units"] == [4]
    assert pruning.live_units["rnn/" + model.layers[0].cell.name].sum() == 4
    small = ksr.remove_dead_units(model)
    assert small.layers[0].units == 4
    np.testing.assert_allclose(small(data[0]), model(data[0]), atol=1e-6)


def test_the_units_of_least_importance_go():
    model = model_of(layers.GRU(6, unroll=True, name="rnn"), optimizer=keras.optimizers.SGD(0.0))
    kernel = np.ones((5, 3, 6), "float32")
    kernel[..., [1, 4]] = 0.1
    model.layers[0].cell.kernel.assign(kernel.reshape(5, 18))
    pruning = UnitPruning(Constant(0.34, 0))
    fit(model, (np.ones((8, 2, 5), "float32"), np.ones((8, 2), "float32")), pruning)
    assert np.flatnonzero(~next(iter(pruning.live_units.values()))).tolist() == [1, 4]


def test_a_hidden_dense_layer_by_what_reads_it(data):
    model = model_of(
        layers.Flatten(),
        layers.Dense(6, activation="tanh", name="hidden"),
        optimizer=keras.optimizers.SGD(0.0),
    )
    kernel = np.ones((6, 2), "float32")
    kernel[[0, 3]] = 0.1
    model.get_layer("head").kernel.assign(kernel)
    fit(model, data, UnitPruning(1 / 3, importance="out", layers="hidden"))
    small = ksr.remove_dead_units(model)
    assert [small.get_layer(name).units for name in ("hidden", "head")] == [4, 2]
    assert np.all(small.get_layer("head").kernel.numpy() == 1)


def test_a_second_fit_goes_on_with_the_same_units(data):
    model = model_of(layers.LSTM(6, unroll=True, name="rnn"))
    first = UnitPruning(Constant(0.5, 2))
    fit(model, data, first)
    second = UnitPruning(Constant(0.5, 2))
    fit(model, data, second)
    for path, live in first.live_units.items():
        np.testing.assert_array_equal(live, second.live_units[path])
    assert ksr.remove_dead_units(model).layers[0].units == 3


def test_a_layer_keeps_a_unit(data):
    model = model_of(layers.SimpleRNN(3, unroll=True, name="rnn"))
    fit(model, data, UnitPruning(0.99))
    assert ksr.remove_dead_units(model).layers[0].units == 1


def test_masked_storage_is_pruned_by_units_too(data):
    model = model_of(layers.LSTM(8, name="rnn"))
    model = ksr.substitute(model, (4, 4), storage="masked")
    fit(model, data, UnitPruning(0.5))
    assert ksr.remove_dead_units(model).layers[0].units == 4


def test_steps_that_do_not_heed_the_masks_are_noticed(data):
    class Careless(keras.Sequential):
        def train_step(self, given):
            logs = super().train_step(given)
            self.layers[0].cell.bias.assign_add(np.ones(24))
            return logs

    model = Careless([keras.Input((2, 5)), layers.LSTM(6, unroll=True, name="rnn")])
    model.compile("sgd", "mse", run_eagerly=True)
    x, _ = data
    with pytest.raises(RuntimeError, match="rnn/lstm_cell should have 3 dead units, and they have"):
        fit(model, (x, np.ones((len(x), 6), "float32")), UnitPruning(0.5))


def test_its_config_makes_the_same_callback():
    pruning = UnitPruning(
        PolynomialDecay(0.0, 0.5, 10, 20), frequency=5, importance="out", layers=layers.GRU
    )
    config = keras.saving.serialize_keras_object(pruning)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == pruning.get_config()
    assert again.layers is layers.GRU


@keras.saving.register_keras_serializable(package="tests")
class Outgoing(ksr.criteria.UnitImportance):
    pass


def test_its_config_keeps_an_importance_of_ones_own():
    config = keras.saving.serialize_keras_object(UnitPruning(0.5, importance=Outgoing("out")))
    importance = keras.saving.deserialize_keras_object(config).importance
    assert type(importance) is Outgoing and importance.direction == "out"


def test_a_training_that_ends_before_its_schedule_says_so(data):
    model = model_of(layers.LSTM(8, unroll=True, name="rnn"))
    pruning = UnitPruning(PolynomialDecay(0.0, 0.5, 1000, 5000))
    with pytest.warns(UserWarning) as caught:
        fit(model, data, pruning)
    assert [str(one.message) for one in caught] == [
        "Pruning is not finished: training ended at step 3, and the schedule reaches 0.5000 of the "
        "units at step 5000 (8 of 8 live now). Train on, with another `fit` that has this "
        "callback, or let the schedule end sooner."
    ]
    assert not pruning.is_finished


@pytest.mark.parametrize(
    ("make", "names"),
    [(lambda: UnitPruning(0.5), {"sparsity", "units"}), (ksr.callbacks.KeepMasks, {"sparsity"})],
)
def test_a_loop_of_ones_own_gets_the_figures_that_it_has_logs_for(make, names, data):
    model = model_of(layers.LSTM(8, unroll=True, name="rnn"))
    ksr.prune(model, 0.5, (2, 2))
    callback = make()
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_batch_begin(0)
    model.train_on_batch(*data)
    callback.on_train_batch_end(0, logs := {})
    callback.on_train_end()
    assert set(logs) == names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: UnitPruning(0.5, importance="both"),
            "`direction` must be one of 'in', 'out'. Received: direction='both'",
        ),
        (
            lambda: UnitPruning(0.5, frequency=0),
            "`frequency` must be an integer of at least 1. Received: frequency=0",
        ),
        (
            lambda: UnitPruning(ksr.schedules.ThresholdRamp(0, 1, 2, 1e-3, 1e-3)),
            "`schedule` must give a fraction of the units, which a ThresholdRamp does not. "
            "Received: schedule=ThresholdRamp(begin_step=0, ramp_step=1, end_step=2, "
            "start_slope=0.001, ramp_slope=0.001, frequency=100)",
        ),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
