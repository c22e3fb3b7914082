"""A regularizer that a callback puts on the kernels does in a training what one of the layers
does.
"""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.manifolds import Circle
from keras_sparse_rnn.regularizers import GroupLasso, TrainableModuli
from keras_sparse_rnn.schedules import Constant


def weights(model):
    return [one.numpy() for one in model.trainable_weights]


def trained(model, data, *callbacks, of_layers=None, masked=False):
    """The losses and weights of two epochs from the same start."""
    if masked:
        model = ksr.substitute(model, block_shape=(3, 2), storage="masked")
    for kernel in kernels(model):
        kernel.regularizer = of_layers and (
            ksr.layers.adapters.MaskedRegularizer(of_layers, grid(kernel)) if masked else of_layers
        )
    model.compile(keras.optimizers.SGD(0.05), "mse")
    losses = fit(model, data, *callbacks, epochs=2).history["loss"]
    return losses, weights(model), model


def grid(kernel):
    return ksr.patterns.BlockGrid(*map(int, (kernel.shape[0], kernel.shape[1] // 4, 4)), (3, 2))


@pytest.mark.parametrize(
    "masked, pruned",
    [
        (False, False),
        (True, True),
        pytest.param(False, True, marks=pytest.mark.slow),
        pytest.param(True, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.quick_cases
def test_it_is_the_penalty_of_a_regularizer_of_the_layers(masked, pruned, make_model, data):
    results = []
    for of_layers in (True, False):
        keras.utils.set_random_seed(3)
        lasso = GroupLasso(0.02, (3, 2))
        schedule = StrengthSchedule(until=6, regularizer=None if of_layers else lasso)
        pruning = [BlockPruning(Constant(0.5, 3), (3, 2))] if pruned else []
        model = make_model("lstm", run_eagerly=False)
        results.append(
            trained(
                model,
                data,
                schedule,
                *pruning,
                of_layers=lasso if of_layers else None,
                masked=masked,
            )
        )
    (losses, expected, _), (own_losses, own, model) = results
    np.testing.assert_allclose(own_losses, losses, rtol=1e-6)
    for one, other in zip(own, expected):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert not model.losses and all(kernel.regularizer is None for kernel in kernels(model))
    # Nor does a training step that was traced with the penalty stay behind.
    keras.utils.set_random_seed(4)
    after = fit(model, data).history["loss"]
    keras.utils.set_random_seed(4)
    results[0][2].set_weights([*expected])
    for kernel in kernels(results[0][2]):
        kernel.regularizer = None
    results[0][2].compile(keras.optimizers.SGD(0.05), "mse")
    np.testing.assert_allclose(after, fit(results[0][2], data).history["loss"], rtol=1e-5)


def test_it_stands_beside_what_is_there(make_model, data):
    model = make_model("gru")
    kernels(model)[1].regularizer = keras.regularizers.L2(0.5)
    penalties = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: penalties.append(
            [float(one) for one in model.losses]
        )
    )
    lasso = GroupLasso(0.25, (3, 2))
    kernel, recurrent = (np.array(one.numpy()) for one in kernels(model))
    fit(model, data, StrengthSchedule(until=1, regularizer=lasso), look)
    expected = (
        float(lasso(kernel, gates=3)),
        float(lasso(recurrent, gates=3)) + 0.5 * float((recurrent**2).sum()),
    )
    np.testing.assert_allclose(penalties[0], expected, rtol=1e-5)
    assert (
        penalties[1][0] == 0 and penalties[1][1] > 0
    )  # L2 has no strength that could be scheduled
    assert [type(one.regularizer) for one in kernels(model)] == [type(None), keras.regularizers.L2]


def test_layers_and_gates_are_known_whatever_they_are_called(data):
    cell = keras.layers.GRUCell(7, name="anything")
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.RNN(cell, name="first", return_sequences=True),
            keras.layers.LSTM(4),
            keras.layers.Dense(2),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(len(model.losses))
    )
    fit(model, data, StrengthSchedule(regularizer=GroupLasso(0.1, (2, 5)), layers="first"), look)
    assert seen == [2] * 5 and not model.losses


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.quick_cases
def test_validation_has_the_penalty_while_it_is_there_and_not_afterwards(
    run_eagerly, make_model, data
):
    model, lasso = make_model("gru", run_eagerly=run_eagerly), GroupLasso(1.0, (3, 2))
    model.evaluate(*data, batch_size=8, verbose=0)  # traced without it
    penalties = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: penalties.append(
            sum(float(lasso(kernel)) for kernel in kernels(model))
        )
    )
    history = model.fit(
        *data,
        batch_size=8,
        epochs=2,
        verbose=0,
        validation_data=data,
        callbacks=[StrengthSchedule(until=6, regularizer=lasso), look],
    ).history["val_loss"]
    error = ((model.predict(data[0], verbose=0) - data[1]) ** 2).mean()
    assert history[0] > penalties[0] > 10 * history[1]
    np.testing.assert_allclose(
        [history[1], model.evaluate(*data, batch_size=8, verbose=0)], error, rtol=1e-4
    )


def test_regularizers_of_the_layers_keep_their_strength(make_model, data):
    model, own = make_model("gru"), GroupLasso(0.25, (1, 1))
    kernels(model)[1].regularizer = own
    strengths = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: strengths.append(
            (float(own.strength.numpy()), logs["strength_factor"])
        )
    )
    fit(model, data, StrengthSchedule(until=2, regularizer=GroupLasso(0.5, (3, 2))), look)
    assert strengths == [(0.25, 1.0)] * 2 + [(0.25, 0.0)] * 3


def test_frozen_layers_are_named(data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.GRU(3, name="first", return_sequences=True),
            keras.layers.GRU(4, name="second"),
        ]
    )
    model.layers[0].trainable = False
    model.compile("sgd", "mse", run_eagerly=True)
    schedule = StrengthSchedule(regularizer=GroupLasso(0.5, (3, 2)))
    with pytest.warns(
        UserWarning,
        match=(
            r"These selected layers are frozen \(trainable=False\) and are not "
            r"regularized: first/gru_cell"
        ),
    ):
        model.fit(data[0], np.zeros((40, 4)), verbose=0, callbacks=[schedule])
    model.layers[1].trainable = False
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(
        ValueError,
        match=(
            r"`layers` must have a trainable layer that can be regularized\. "
            r"Received: only frozen ones, first/gru_cell"
        ),
    ):
        model.fit(data[0], np.zeros((40, 4)), verbose=0, callbacks=[schedule])


def test_config(make_model):
    schedule = StrengthSchedule(
        until=3, regularizer=GroupLasso(0.5, (3, 2)), layers=["rnn", keras.layers.GRU]
    )
    again = StrengthSchedule.from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    assert again.layers == ["rnn", keras.layers.GRU] and again.regularizer.block_shape == (3, 2)


def test_errors(make_model, data):
    message = (
        r"`regularizer` must be None or one of keras_sparse_rnn\.regularizers "
        r"for kernels of all kinds, .* Received: regularizer="
    )
    for wrong in ("l1", keras.regularizers.L1(), TrainableModuli(Circle(), strength=1.0)):
        with pytest.raises(ValueError, match=message):
            StrengthSchedule(regularizer=wrong)
    with pytest.raises(
        ValueError,
        match=(
            r"`layers` must be None without a `regularizer`, which is put on them\. "
            r"Received: layers='rnn'"
        ),
    ):
        StrengthSchedule(layers="rnn")
    with pytest.raises(
        ValueError, match=r"`layers` must match layers of the model; 'other' matches none"
    ):
        fit(make_model(), data, StrengthSchedule(regularizer=GroupLasso(0.5), layers="other"))
