"""Units whose readers cannot be followed, or that are not all alike, are refused in words."""

import keras
import numpy as np
import pytest
from random_models import X, functional
from refusing import check_refused

import keras_sparse_rnn as ksr
from keras_sparse_rnn.units.kinds import ALIKE_ACTIVATIONS

layers = keras.layers


def residual(x):
    y = layers.LSTM(5, return_sequences=True, name="a")(x)
    return layers.Dense(2)(layers.Add()([x, y]))


def out(x):
    return layers.LSTM(5, name="a")(x)


def convolved(x):
    return layers.Conv1D(2, 2)(layers.LSTM(5, return_sequences=True, name="a")(x))


def summed(x):
    return layers.Dense(2)(layers.Bidirectional(layers.LSTM(5), merge_mode="sum", name="both")(x))


def encoder(x):
    _, h, c = layers.LSTM(5, return_state=True, name="a")(x)
    return layers.Dense(2)(layers.LSTM(5, name="b")(x, initial_state=[h, c]))


def nested(x):
    inner = keras.Sequential([keras.Input((4, 5)), layers.LSTM(5, name="a")], name="inner")
    return layers.Dense(2)(inner(x))


def shared(x):
    head = layers.Dense(2, name="head")
    return head(layers.LSTM(5, name="a")(x)), head(layers.GRU(5, name="b")(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            residual,
            "the units of a/lstm_cell are read by 'add' (Add), through which they cannot be "
            "followed",
        ),
        (out, "the units of a/lstm_cell are outputs of the model"),
        (
            convolved,
            "the units of a/lstm_cell are read by 'conv1d' (Conv1D), through which they cannot "
            "be followed",
        ),
        (
            summed,
            "the units of both/forward_lstm/lstm_cell are merged by 'both' with merge_mode='sum'",
        ),
        (encoder, "the units of a/lstm_cell are the initial state of 'b'"),
        (
            nested,
            "the units of inner/a/lstm_cell are inside another layer or model, where their "
            "readers cannot be followed",
        ),
        (
            shared,
            "the units of a/lstm_cell are read by head/kernel, which reads something else in "
            "another place",
        ),
    ],
)
def test_what_cannot_be_followed(make, message):
    model = functional(make)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model)
    assert (
        str(error.value)
        == f"`layers` must be layers whose readers can be followed: {message}. Leave this layer "
        "out with `layers`."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def cumulated(values):
    return keras.ops.cumsum(values, axis=-1)


def rolled(values):
    return keras.ops.roll(values, 1, axis=-1)


class Mixing(layers.LSTMCell):
    """A cell whose units are not alike."""

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training=training)
        return keras.ops.cumsum(output, axis=-1), states


class Rolling(layers.Dropout):
    """A layer that is a Dropout by its class alone."""

    def call(self, inputs, training=False):
        return rolled(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: layers.Activation(cumulated, name="act")(layers.LSTM(5, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'cumulated', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.Activation(rolled, name="act")(layers.LSTM(5, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'rolled', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.TimeDistributed(layers.Activation(rolled, name="act"))(
                layers.LSTM(5, return_sequences=True, name="a")(x)
            ),
            "are read by 'act' (Activation) with the activation 'rolled', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.Activation("glu", name="act")(layers.LSTM(6, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'glu', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.LSTM(5, activation=cumulated, name="a")(x),
            "come from 'lstm_cell' (LSTMCell) with the activation 'cumulated', which is not known "
            "to treat all units alike",
        ),
        (
            lambda x: layers.LSTM(5, recurrent_activation=rolled, name="a")(x),
            "come from 'lstm_cell' (LSTMCell) with the recurrent_activation 'rolled', which is not "
            "known to treat all units alike",
        ),
        (
            lambda x: layers.RNN(Mixing(5, name="lstm_cell"), name="a")(x),
            "come from 'lstm_cell' (Mixing), whose `call` is its own and may not treat all units "
            "alike",
        ),
        (
            lambda x: Rolling(0.5, name="roll")(layers.LSTM(5, name="a")(x)),
            "are read by 'roll' (Rolling), through which they cannot be followed",
        ),
    ],
)
def test_what_does_not_treat_all_units_alike_is_refused(make, message):
    check_refused(make, message)


@pytest.mark.parametrize("name", [*ALIKE_ACTIVATIONS, None])
@pytest.mark.quick_cases(8)
def test_activations_that_treat_all_units_alike_are_passed(name):
    def make(x):
        x = layers.GRU(5, activation=name, return_sequences=True)(x)
        return layers.Dense(2)(layers.Activation(name)(layers.LSTM(5, activation=name)(x)))

    model = functional(make)
    before = np.asarray(model(X))
    ksr.reorder_units(model)
    np.testing.assert_allclose(np.asarray(model(X)), before, rtol=1e-4, atol=1e-5)


def test_a_model_without_a_graph():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = layers.LSTM(5, name="a")

        def call(self, x):
            return self.rnn(x)

    model = Own()
    model(X)
    with pytest.raises(
        ValueError, match="`model` must be Sequential or functional: .* Received: a Own"
    ):
        ksr.reorder_units(model)
