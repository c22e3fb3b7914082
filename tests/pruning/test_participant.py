"""What a callback needs of its own to take part in a training, and what it is told."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, StrengthSchedule
from keras_sparse_rnn.pruning import Participant, State
from keras_sparse_rnn.regularizers import GroupLasso


class Notes(Participant):
    """The least that a callback can be."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def find(self):
        self.seen.append(("find", self.state))
        return "found"

    def install(self, found):
        self.seen.append(("install", found))

    def begin_run(self, step):
        self.seen.append(("begin", step))

    def after_step(self, step):
        self.seen.append(("after", step))

    def remove(self):
        self.seen.append(("remove", self.state))

    def finish(self):
        self.seen.append(("finish", self.state))

    def figures(self):
        return {"seen": float(len(self.seen))}


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


X, Y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


def test_it_is_told_of_each_update_in_order(model):
    notes = Notes()
    history = model.fit(X, Y, batch_size=4, verbose=0, callbacks=[notes]).history
    seen = list(dict.fromkeys(notes.seen))
    assert seen == [
        ("find", State.APART),
        ("install", "found"),
        ("begin", 0),
        ("after", 1),
        ("after", 2),
        ("remove", State.APART),
        ("finish", State.APART),
    ]
    assert "seen" in history and notes.state is State.APART


def test_a_training_that_breaks_off_before_its_first_step_is_not_finished(model):
    class Raise(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise KeyboardInterrupt

    notes = Notes()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[Raise(), notes])
    assert notes.state is State.JOINED
    model.fit(X, Y, verbose=0)
    assert notes.state is State.AWAY and ("finish", State.APART) not in notes.seen


@pytest.mark.parametrize(
    "callback",
    [
        lambda: BlockPruning(0.5),
        lambda: StrengthSchedule(regularizer=GroupLasso(0.1)),
        lambda: KeepMasks(),
    ],
    ids=["BlockPruning", "StrengthSchedule", "KeepMasks"],
)
def test_a_model_of_tf_keras_is_called_that(callback):
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.Input((2, 5)), tf_keras.layers.LSTM(4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError) as error:
        model.fit(np.ones((2, 2, 5)), np.ones((2, 4)), verbose=0, callbacks=[callback()])
    assert str(error.value).startswith(
        f"`model` must be a keras.Model. Received: model={model.name!r}, a tf_keras (Keras 2) "
        "model. Build the same model from keras.layers of Keras 3"
    )
    with pytest.raises(ValueError, match=r"Received: optimizer=.*SGD.*, of tf_keras \(Keras 2\)$"):
        BlockPruning(0.5, optimizer=tf_keras.optimizers.SGD())
