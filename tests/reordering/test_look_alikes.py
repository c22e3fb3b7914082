"""Layers that only look like those whose units can be followed, and states that are given by
name."""

import keras
import numpy as np
import pytest
from random_models import X, functional
from refusing import check_refused

import keras_sparse_rnn as ksr

layers = keras.layers


def rolled(values):
    return keras.ops.roll(values, 1, axis=-1)


class Gains(layers.Dense):
    """A `Dense` layer that is not, with weights of its own for each input."""

    def build(self, shape):
        super().build(shape)
        self.gains = self.add_weight((shape[-1],), name="gains")

    def call(self, inputs):
        return super().call(inputs * self.gains)


class Scaled(layers.LSTM):
    """An `LSTM` whose outputs are not its units, with weights of its own for each of them."""

    def build(self, shape):
        super().build(shape)
        self.gains = self.add_weight((self.units,), name="gains")

    def call(self, sequences, initial_state=None, mask=None, training=False):
        outputs = super().call(sequences, initial_state, mask=mask, training=training)
        return outputs * self.gains


class Turned(layers.TimeDistributed):
    """A wrapper that turns what it gives on."""

    def call(self, inputs, training=None, mask=None):
        return super().call(rolled(inputs), training=training, mask=mask)


class OneMore(layers.Concatenate):
    """A `Concatenate` whose outputs stand elsewhere."""

    def call(self, inputs):
        return rolled(super().call(inputs))


class Biased(layers.LayerNormalization):
    def call(self, inputs):
        return rolled(super().call(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: Gains(3, name="gain")(layers.LSTM(5, name="a")(x)),
            "are read by 'gain' (Gains), through which they cannot be followed",
        ),
        (
            lambda x: Scaled(5, name="a")(x),
            "come from 'a' (Scaled), whose `call` is its own and may not treat all units alike",
        ),
        (
            lambda x: Scaled(3, name="b")(layers.LSTM(5, return_sequences=True, name="a")(x)),
            "are read by 'b' (Scaled), through which they cannot be followed",
        ),
        (
            lambda x: Turned(layers.Dense(3), name="turn")(
                layers.LSTM(5, return_sequences=True, name="a")(x)
            ),
            "are read by 'turn' (Turned), through which they cannot be followed",
        ),
        (
            lambda x: OneMore(name="join")([x, layers.LSTM(5, return_sequences=True, name="a")(x)]),
            "are read by 'join' (OneMore), through which they cannot be followed",
        ),
        (
            lambda x: Biased(name="norm")(layers.LSTM(5, name="a")(x)),
            "are read by 'norm' (Biased), through which they cannot be followed",
        ),
        (
            lambda x: layers.GlobalAveragePooling1D(data_format="channels_first", name="pool")(
                layers.LSTM(4, return_sequences=True, name="a")(x)  # as many units as steps
            ),
            "are read by 'pool' (GlobalAveragePooling1D), through which they cannot be followed",
        ),
    ],
)
def test_layers_that_may_do_something_else_with_units(make, message):
    check_refused(make, message)


def by_name(x):
    _, state = layers.GRU(5, return_state=True, name="a")(x)
    return layers.GRU(5, name="b")(sequences=x, initial_state=[state])


def constant_state(x):
    return layers.GRU(5, name="a")(x, initial_state=[np.ones((6, 5), "float32")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (by_name, "a/gru_cell are the initial state of 'b'"),
        (constant_state, "a/gru_cell begin with a state that 'a' is given"),
    ],
)
def test_states_are_known_by_their_names(make, message):
    model = functional(lambda x: layers.Dense(2)(make(x)))
    with pytest.raises(ValueError, match=f"the units of {message}. Leave this layer out"):
        ksr.reorder_units(model, "a")


def test_inputs_by_name_are_read():
    def make(x):
        y = layers.LSTM(5, return_sequences=True, name="a")(x)
        state = layers.Dense(3)(x[:, 0])
        return layers.Dense(2)(layers.GRU(3, name="b")(sequences=y, initial_state=[state]))

    model = functional(make)
    before = np.asarray(model(X))
    ksr.reorder_units(model, "a")
    np.testing.assert_allclose(np.asarray(model(X)), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reader", [True, False], ids=["read", "computed"])
def test_units_of_layers_that_train_at_few_bits(reader):
    low = ksr.quantization.LowPrecision(weight_bits=8, sparsity=0.75)
    of_few = ksr.layers.BlockSparseLSTM(8, (4, 4), storage="masked", low_precision=low, name="few")
    other = layers.LSTM(8, return_sequences=True, name="other")
    model = functional(lambda x: layers.Dense(2)(of_few(other(x))))
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model, "other" if reader else "few")
    assert str(error.value) == (
        "`layers` must be layers whose readers can be followed: the units of "
        f"{'other' if reader else 'few'}/lstm_cell {'are read by' if reader else 'come from'} "
        f"'few' (BlockSparseLSTM), which trains at few bits with {low!r} and may round its weights "
        "in another way in another order. Leave this layer out with `layers`."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("selected", ["d", ["a", "d"], keras.layers.Dense], ids=str)
def test_a_layer_without_units_that_can_be_reordered(selected):
    model = functional(lambda x: layers.Dense(2, name="d")(layers.LSTM(5, name="a")(x)))
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model, selected)
    assert str(error.value) == (
        "`layers` must be recurrent layers with a `kernel` and a `recurrent_kernel`, whose units "
        "can be put into another order. 'd' (Dense) has a `kernel` only: leave it out. Received: "
        f"layers={selected!r}"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
