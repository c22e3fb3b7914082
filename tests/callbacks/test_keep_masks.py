"""Fine-tuning leaves zero what is zero."""

import keras
import numpy as np
import pytest
from fitting import HALF, fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, Regrowth, UnitPruning
from keras_sparse_rnn.schedules import Constant

layers = keras.layers


def pruned(make_model, **arguments):
    model = make_model("lstm", optimizer=keras.optimizers.Adam(0.05), **arguments)
    return ksr.prune(model, 0.5, (3, 2))


def zeros(model):
    return [variable.numpy() == 0 for variable in kernels(model)]


def test_without_the_callback_training_fills_the_zeros_again(make_model, data):
    model = pruned(make_model)
    fit(model, data)
    assert not any(zero.any() for zero in zeros(model))


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.quick_cases
def test_zeros_stay_zero_and_the_others_learn(eager, make_model, data):
    model = pruned(make_model, run_eagerly=eager)
    before, start = zeros(model), [variable.numpy() for variable in kernels(model)]
    assert 0.4 < before[1].mean() < 0.6
    keep = KeepMasks()
    history = fit(model, data, keep, epochs=2).history
    for variable, zero, weights in zip(kernels(model), before, start):
        np.testing.assert_array_equal(variable.numpy() == 0, zero)
        assert (variable.numpy() != weights)[~zero].all()
        assert variable.constraint is None
    assert history["sparsity"][-1] == pytest.approx(np.concatenate(before).mean())
    np.testing.assert_array_equal(keep.masks["rnn/lstm_cell/recurrent_kernel"], ~before[1])


def test_beside_block_pruning_it_keeps_the_other_layers(data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(6, return_sequences=True, name="low"),
            layers.GRU(8, name="high"),
            layers.Dense(2),
        ]
    )
    ksr.prune(model, 0.5, (2, 2), layers="low")
    low = model.get_layer("low").cell.recurrent_kernel
    before = low.numpy() == 0
    model.compile("adam", "mse", run_eagerly=True)
    fit(model, data, BlockPruning(HALF, (2, 2), layers="high"), KeepMasks())
    np.testing.assert_array_equal(low.numpy() == 0, before)
    assert (model.get_layer("high").cell.recurrent_kernel.numpy() == 0).mean() > 0.4


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_units_that_were_pruned_stay_dead_with_their_biases(kind, data):
    model = keras.Sequential(
        [keras.Input((2, 5)), kind(8, unroll=True, name="rnn"), layers.Dense(2)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    fit(model, data, UnitPruning(0.5))
    dead = (model.layers[0].cell.bias.numpy() == 0).reshape(-1, 8).all(axis=0)
    keep = KeepMasks()
    history = fit(model, data, keep, epochs=2).history
    zero = np.concatenate([variable.numpy().ravel() == 0 for variable in kernels(model)])
    assert history["sparsity"][-1] == pytest.approx(zero.mean())  # of kernels, as ever
    bias = model.layers[0].cell.bias
    assert bias.constraint is None and dead.sum() == 4
    np.testing.assert_array_equal((bias.numpy() == 0).reshape(-1, 8).all(axis=0), dead)
    assert (bias.numpy().reshape(-1, 8)[:, ~dead] != 0).all()  # the others have learned
    assert ksr.remove_dead_units(model).layers[0].units == 4
    assert keep.masks[f"rnn/{model.layers[0].cell.name}/bias"].shape == bias.shape


def test_units_stay_dead_if_another_callback_has_the_kernels(data):
    model = keras.Sequential(
        [keras.Input((2, 5)), layers.LSTM(8, unroll=True, name="rnn"), layers.Dense(2)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    fit(model, data, UnitPruning(0.5))
    bias = model.layers[0].cell.bias
    fit(model, data, KeepMasks(), BlockPruning(0.25, (2, 4)))
    assert bias.constraint is None and ksr.remove_dead_units(model).layers[0].units == 4


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("pruner", [UnitPruning(0.25), BlockPruning(Constant(0.25, 1), (4, 4))])
def test_single_zeros_stay_beside_a_callback_that_prunes_the_same_layers(
    pruner, first, make_model, data
):
    model = ksr.prune(make_model("lstm"), 0.5, (1, 1))
    before = zeros(model)
    callbacks = [KeepMasks(), pruner] if first else [pruner, KeepMasks()]
    for _ in range(2):
        history = fit(model, data, *callbacks).history
        after = zeros(model)
        assert all((after[number] | ~zero).all() for number, zero in enumerate(before))
        assert after[1].mean() > before[1].mean() + 0.05
        shares = np.concatenate([zero.ravel() for zero in after])
        assert history["sparsity"][-1] == pytest.approx(shares.mean())
        assert all(variable.constraint is None for variable in model.trainable_variables)


def test_zeros_that_may_live_again_cannot_be_kept(make_model, data):
    model = pruned(make_model)
    schedule = ksr.schedules.PolynomialDecay(0.5, 0.6, 1, 4)
    pruning = BlockPruning(schedule, (3, 2), frequency=1, regrowth=Regrowth())
    with pytest.raises(ValueError) as error:
        fit(model, data, KeepMasks("rnn"), pruning)
    assert str(error.value) == (
        "`layers` of KeepMasks must leave out what a BlockPruning with a Regrowth prunes, which "
        "lets zeros live again. Received: layers='rnn' and layers=None, which both have "
        "rnn/lstm_cell/kernel"
    )


@pytest.mark.parametrize("first", [KeepMasks, BlockPruning])
def test_zeros_that_may_live_again_are_left_to_the_other_callback(first, data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.SimpleRNN(9, return_sequences=True, name="ramp"),
            layers.SimpleRNN(2, name="kept"),
        ]
    )
    ksr.prune(model, 0.5, (1, 1), layers="kept")
    model.compile("adam", "mse", run_eagerly=True)
    kept = model.layers[1].cell.kernel
    zero = kept.numpy() == 0
    schedule = ksr.schedules.PolynomialDecay(0.0, 0.6, 1, 4)
    pruning = BlockPruning(schedule, (3, 2), frequency=1, layers="ramp", regrowth=Regrowth())
    callbacks = [KeepMasks(), pruning] if first is KeepMasks else [pruning, KeepMasks()]
    for _ in range(2):
        fit(model, data, *callbacks)
    assert pruning.sparsity == pytest.approx(0.6, abs=0.1)
    np.testing.assert_array_equal(kept.numpy() == 0, zero)


def test_in_a_loop_of_ones_own_zeros_stay_beside_block_pruning(make_model, data):
    model = ksr.prune(make_model("gru"), 0.5, (1, 1))
    before = zeros(model)
    callbacks = [KeepMasks(), BlockPruning(Constant(0.25, 1), (4, 4))]
    for one in callbacks:
        one.set_model(model)
        one.on_train_begin()
    for step in range(4):
        for one in callbacks:
            one.on_train_batch_begin(step)
        model.train_on_batch(*data)
        for one in callbacks:
            one.on_train_batch_end(step)
    for one in callbacks:
        one.on_train_end()
    assert all((after | ~zero).all() for after, zero in zip(zeros(model), before))


def test_weights_that_were_restored_at_the_end_are_told(make_model, data):
    model = make_model("lstm")
    dense = model.get_weights()
    ksr.prune(model, 0.5, (3, 2))
    count = int(zeros(model)[1].sum())
    restore = keras.callbacks.LambdaCallback(on_train_end=lambda logs: model.set_weights(dense))
    with pytest.warns(UserWarning) as caught:
        fit(model, data, KeepMasks(), restore)
    (told,) = [str(one.message) for one in caught]
    assert told.startswith("Zeros that were kept are filled when training ends: ")
    assert (
        f"rnn/lstm_cell/recurrent_kernel should have {count} zeros, and {count} of them are "
        "weights again" in told
    )
    assert all(np.array_equal(a, b) for a, b in zip(dense, model.get_weights()))


def test_a_step_that_does_not_heed_the_masks_is_an_error(make_model, data):
    class Bypass(keras.Sequential):
        def train_step(self, data):
            for variable in self.trainable_variables:
                variable.assign_add(keras.ops.ones_like(variable))
            self.optimizer.iterations.assign_add(1)
            return {"loss": keras.ops.zeros(())}

    model = Bypass([keras.Input((2, 5)), *pruned(make_model).layers])
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(
        RuntimeError, match="Pruning has failed: rnn/lstm_cell/kernel should have .* zeros, and"
    ):
        fit(model, data, KeepMasks())


def test_a_kernel_that_an_initializer_has_left_zero_is_no_pattern(make_model, data):
    model = make_model("simple_rnn", recurrent_initializer="zeros")
    ksr.prune(model, 0.5, (3, 2))
    kernels(model)[1].assign(np.zeros((11, 11)))
    fit(model, data, KeepMasks())
    assert (kernels(model)[0].numpy() == 0).mean() > 0.4 and (kernels(model)[1].numpy() != 0).any()


def test_a_model_without_a_zero_is_refused(make_model, data):
    model = make_model("gru")
    with pytest.raises(ValueError) as error:
        fit(model, data, KeepMasks())
    assert str(error.value) == (
        "The model must have been pruned before its zeros can be kept: no weight of its kernels is "
        f"zero. Received: the model {model.name!r}, layers=None. Prune it with "
        "ksr.callbacks.BlockPruning, or at once with ksr.prune(model)"
    )


def test_its_configuration_is_saved_and_loaded():
    keep = KeepMasks(layers=["rnn", keras.layers.GRU])
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(keep))
    assert isinstance(loaded, KeepMasks) and loaded.layers == keep.layers
