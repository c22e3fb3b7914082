"""Weights that are averaged each since it was born, and where the averages are put."""

import warnings

import keras
import numpy as np
import pytest
from evolving import After, fit, kernels, model

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import AveragedWeights, BlockPruning, Evolution, KeepMasks
from keras_sparse_rnn.optimizers import AveragedSGD


class Steps(keras.callbacks.Callback):
    """The kernels after each step."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_train_batch_end(self, batch, logs=None):
        self.kernels.append(kernels(self.model))


def average_by_hand(weights):
    """Of the weights after each of their steps: the first two are there once."""
    average = 0.0
    for age, weight in enumerate(weights, 1):
        average = average + (weight - average) / max(1, age - 1)
    return average


def test_each_weight_is_averaged_since_its_block_was_born():
    optimizer, steps = AveragedSGD(0.3, begin_step=1), Steps()
    made = model("simple_rnn", optimizer=optimizer)
    evolution = Evolution(4, 0.6, end_step=6, growth="random")
    fit(made, steps, evolution, epochs=2)  # steps 2 to 8 are averaged; blocks change after step 4
    _, _, now = steps.kernels[-1][0]
    values = made.get_layer("rnn").cell.kernel_values
    average = np.array(optimizer.average_of(values))
    age = np.array(optimizer.ages[0].numpy())
    old = np.isin(now, steps.kernels[0][0][2])
    assert old.any() and (~old).any()
    for place, number in enumerate(now):
        first = 1 if old[place] else 4
        seen = [one[0][1][np.flatnonzero(one[0][2] == number)[0]] for one in steps.kernels[first:]]
        assert np.all(age[place] == len(seen))
        np.testing.assert_allclose(average[place], average_by_hand(seen), rtol=1e-4, atol=1e-6)


def test_the_averages_are_what_is_evaluated_and_left_and_the_weights_are_what_is_trained():
    optimizer, trained, first, last, begun = AveragedSGD(0.3, begin_step=0), [], [], [], []
    made = model("simple_rnn", optimizer=optimizer)
    values = made.get_layer("rnn").cell.kernel_values
    watch = After(lambda _: trained.append(values.numpy().copy()))

    def look(into):
        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: into.append(values.numpy().copy())
        )

    begin = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: begun.append(values.numpy().copy())
    )
    x = np.ones((8, 3, 7), "float32")
    history = made.fit(
        x,
        np.ones((8, 2)),
        validation_data=(x, np.ones((8, 2))),
        epochs=3,
        verbose=0,
        callbacks=[look(first), AveragedWeights(), watch, look(last), begin],
    ).history
    # a callback before it has the weights, one after it the averages; training has the weights
    assert all(np.array_equal(a, b) for a, b in zip(trained, first, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(trained, begun[1:]))
    for epoch, average in enumerate(last):
        np.testing.assert_allclose(
            average, average_by_hand(trained[: epoch + 1]), rtol=1e-4, atol=1e-6
        )
    np.testing.assert_array_equal(values.numpy(), last[-1])
    assert made.evaluate(x, np.ones((8, 2)), verbose=0) == pytest.approx(history["val_loss"][-1])


def test_averaging_begins_when_the_figure_no_longer_falls():
    optimizer, callback = AveragedSGD(0.1), AveragedWeights("loss", patience=2)
    made = model("simple_rnn", optimizer=optimizer)
    optimizer.build(made.trainable_variables)
    callback.set_model(made)
    callback.on_train_begin()
    begun = []
    for epoch, loss in enumerate([5.0, 4.0, 3.0, 3.5, 3.2, 3.1, 2.0]):
        callback.on_epoch_end(epoch, {"loss": loss})
        begun.append(optimizer.is_averaging)
    assert begun == [False] * 5 + [True] * 2  # 3.1 > 3, which is more than two epochs ago


@pytest.mark.parametrize(
    "callback", [KeepMasks(), BlockPruning(0.5, (3, 2))], ids=["keep", "prune"]
)
def test_averages_of_pruned_weights_are_pruned_too(callback, make_model, data):
    made = make_model("gru", optimizer=AveragedSGD(0.1, begin_step=0), run_eagerly=False)
    recurrent = ksr.prune(made, 0.5, (3, 2)).get_layer("rnn").cell.recurrent_kernel
    zero = recurrent.numpy() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.fit(*data, batch_size=8, verbose=0, callbacks=[callback, AveragedWeights()])
    np.testing.assert_array_equal(recurrent.numpy() == 0, zero)
    assert 0.4 < zero.mean() < 0.6 and made.optimizer.is_averaging


def test_epochs_without_validation_do_not_count():
    optimizer, begun = AveragedSGD(0.1), []
    made = model("simple_rnn", optimizer=optimizer)
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: begun.append(optimizer.is_averaging)
    )
    with pytest.warns(UserWarning) as caught:
        made.fit(
            np.ones((8, 3, 7), "float32"),
            np.ones((8, 2)),
            validation_data=(np.ones((8, 3, 7), "float32"), -np.ones((8, 2))),
            validation_freq=2,
            epochs=8,
            verbose=0,
            callbacks=[AveragedWeights(patience=1), look],
        )
    assert [str(one.message) for one in caught] == [
        "`monitor` must be in the logs of an epoch for it to count, which are ['loss']. With "
        "`validation_freq` it comes with the next validation. Without validation data averaging "
        "never begins: give `fit` some, or AveragedSGD a `begin_step`. Received: "
        "monitor='val_loss'"
    ]
    assert begun == [False] * 6 + [True] * 2  # the 6th is above the 2nd


def test_the_optimizer_may_stand_inside_a_loss_scale():
    optimizer = AveragedSGD(0.1, begin_step=0)
    made = model("simple_rnn", optimizer=keras.optimizers.LossScaleOptimizer(optimizer, 8.0))
    fit(made, AveragedWeights())
    values = made.get_layer("rnn").cell.kernel_values
    assert optimizer.is_averaging
    np.testing.assert_array_equal(values.numpy(), optimizer.average_of(values))


def test_weights_that_the_optimizer_does_not_know_are_left_and_named(make_model, data):
    made = make_model(optimizer=AveragedSGD(0.1, begin_step=0), run_eagerly=False)
    made.get_layer("rnn").trainable = False
    made.compile(made.optimizer, "mse")
    made.fit(*data, verbose=0)
    made.get_layer("rnn").trainable = True
    kernel, head = made.get_layer("rnn").cell.kernel, made.get_layer("head").kernel
    before = kernel.numpy()
    with pytest.warns(UserWarning) as caught:
        made.fit(*data, verbose=0, callbacks=[AveragedWeights()])
    (told,) = [str(one.message) for one in caught]
    assert told.startswith("`optimizer` was built before these weights could be trained") and (
        kernel.path in told and head.path not in told
    )
    np.testing.assert_array_equal(kernel.numpy(), before)
    np.testing.assert_array_equal(head.numpy(), made.optimizer.average_of(head))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError) as error:
        fit(model("simple_rnn"), AveragedWeights())
    assert str(error.value) == (
        "The model must be compiled with a ksr.optimizers.AveragedSGD. Received: Adam"
    )
    with pytest.raises(ValueError) as error:
        fit(model("simple_rnn", optimizer=AveragedSGD(0.1)), AveragedWeights("val_los"), epochs=1)
    assert str(error.value) == (
        "`monitor` must be in the logs of an epoch, which are ['loss']. Received: monitor='val_los'"
    )
    with pytest.raises(ValueError) as error:
        AveragedSGD(0.1, begin_step=-1)
    assert str(error.value) == (
        "`begin_step` must be None or an integer of at least 0. Received: begin_step=-1"
    )
    again = AveragedSGD.from_config(AveragedSGD(0.1, begin_step=7).get_config())
    assert again.begin_step == 7


@pytest.mark.parametrize("begin_step", ["100", 1.5, True, -1])
def test_a_step_that_is_none_is_refused(begin_step):
    with pytest.raises(ValueError) as error:
        AveragedSGD(begin_step=begin_step)
    assert str(error.value) == (
        "`begin_step` must be None or an integer of at least 0. Received: "
        f"begin_step={begin_step!r}"
    )


def test_an_optimizer_that_is_not_built_cannot_begin():
    with pytest.raises(ValueError, match="AveragedSGD must be built for the weights that it aver"):
        AveragedSGD().begin()


def test_a_monitor_that_is_no_name_is_refused():
    with pytest.raises(ValueError) as error:
        AveragedWeights(monitor=None)
    assert str(error.value) == (
        "`monitor` must be the name of a figure of the logs, such as 'val_loss'. Received: "
        "monitor=None"
    )
