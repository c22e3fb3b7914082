"""Callbacks that save and restore weights, beside the one that puts averages in their place."""

import keras
import numpy as np
import pytest
from evolving import data, fit, model

from keras_sparse_rnn.callbacks import AveragedWeights, Evolution
from keras_sparse_rnn.optimizers import AveragedSGD

ORDER = "Other weights were put in the place of the averages"


@pytest.fixture
def made():
    return model("simple_rnn", optimizer=AveragedSGD(0.3, begin_step=0))


class At(keras.callbacks.Callback):
    """Calls a function of the model at the end of an epoch; sets the figure, least in the second
    one.
    """

    def __init__(self, epoch, function):
        super().__init__()
        self.epoch, self.function = epoch, function

    def on_epoch_end(self, epoch, logs=None):
        logs["figure"] = abs(epoch - 1.0)
        if epoch == self.epoch:
            self.function(self.model)


def stopping():
    return keras.callbacks.EarlyStopping(
        "figure", mode="min", patience=9, restore_best_weights=True
    )


def arrays(made):
    return [np.array(one.numpy()) for one in made.weights]


def same(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_a_checkpoint_has_the_averages_that_were_validated(made, tmp_path):
    path, (x, y) = str(tmp_path / "best.weights.h5"), data()
    save = keras.callbacks.ModelCheckpoint(path, save_best_only=True, save_weights_only=True)
    history = made.fit(
        x[:16],
        y[:16],
        validation_data=(x[16:], y[16:]),
        batch_size=4,  # four steps: after two, averages are the weights
        epochs=3,
        verbose=0,
        callbacks=[AveragedWeights(), save],
    ).history
    made.load_weights(path)
    assert made.evaluate(x[16:], y[16:], verbose=0) == pytest.approx(min(history["val_loss"]))


@pytest.mark.filterwarnings("error")
def test_the_averages_of_the_best_epoch_are_restored_with_the_blocks_of_then(made):
    best, average = [], []
    values = made.get_layer("rnn").cell.kernel_values
    look = At(1, lambda made: best.extend(arrays(made)))
    note = At(1, lambda made: average.append(np.array(made.optimizer.average_of(values))))
    evolution = Evolution(2, 0.6, end_step=16, growth="random")
    fit(made, evolution, AveragedWeights(), look, note, stopping(), epochs=4)
    assert same(arrays(made), best)
    np.testing.assert_array_equal(values.numpy(), average[0])


def test_weights_that_were_restored_before_it_are_left_and_told(made):
    best = []
    look = At(1, lambda made: best.extend(arrays(made)))
    evolution = Evolution(2, 0.6, end_step=16, growth="random")
    with pytest.warns(UserWarning, match=ORDER):
        fit(made, evolution, look, stopping(), AveragedWeights(), epochs=4)
    assert same(arrays(made), best)


@pytest.mark.parametrize("begin_step", [0, 4], ids=["averaged", "without an average yet"])
def test_weights_that_were_changed_between_epochs_are_trained_on_and_told(begin_step):
    made = model("simple_rnn", optimizer=AveragedSGD(0.3, begin_step=begin_step))
    begun, bias = [], made.get_layer("head").bias
    change = At(0, lambda made: bias.assign(np.full(2, 7.0)))
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: begun.append(bias.numpy()))
    with pytest.warns(UserWarning, match=ORDER):
        fit(made, AveragedWeights(), change, look, epochs=2)
    assert len(begun) == 2 and np.all(begun[1] == 7.0)


@pytest.mark.filterwarnings("error")
def test_the_last_steps_weights_restored_give_way_to_their_averages(made):
    look = At(1, lambda made: None)
    fit(made, look, stopping(), AveragedWeights(), epochs=2)
    values = made.get_layer("rnn").cell.kernel_values
    np.testing.assert_array_equal(values.numpy(), made.optimizer.average_of(values))


@pytest.mark.parametrize("where", ["epoch", "putting in"])
def test_a_fit_that_breaks_off_loses_no_weights(where, made, monkeypatch):
    trained, begun, calls = [], [], []

    def fail(*_):
        raise KeyboardInterrupt

    def look():
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: begun.append(arrays(made)),
            on_train_batch_end=lambda batch, logs: trained.append(arrays(made)),
        )

    average_of = AveragedSGD.average_of

    def fail_at_the_third(self, variable, otherwise=None):
        calls.append(variable)
        return fail() if len(calls) == 3 else average_of(self, variable, otherwise)

    with monkeypatch.context() as patch:
        if where == "putting in":
            patch.setattr(AveragedSGD, "average_of", fail_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            fit(made, AveragedWeights(), look(), At(0, fail))
    last = trained[-1]
    assert not same(arrays(made), last)
    fit(made, AveragedWeights(), look(), epochs=1)
    assert same(begun[-1], last)


def run(*callbacks):
    """Four epochs, resumed if there is a backup; returns the weights and the optimizer's."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    made = model("simple_rnn", optimizer=AveragedSGD(0.3, begin_step=0))
    fit(made, *callbacks, epochs=4)
    return [np.array(one.numpy()) for one in [*made.weights, *made.optimizer.variables]]


@pytest.mark.parametrize("backup_first", [True, False])
def test_a_run_is_resumed_with_the_weights_and_not_with_the_averages(backup_first, tmp_path):
    def callbacks():
        pair = [keras.callbacks.BackupAndRestore(str(tmp_path)), AveragedWeights()]
        return pair if backup_first else pair[::-1]

    def fail(made):
        raise KeyboardInterrupt

    whole = run(AveragedWeights())
    with pytest.raises(KeyboardInterrupt):
        run(*callbacks(), At(1, fail))
    if backup_first:
        assert same(run(*callbacks()), whole)
    else:
        with pytest.warns(UserWarning, match="Training is resumed with the averages, not with the"):
            run(*callbacks())
