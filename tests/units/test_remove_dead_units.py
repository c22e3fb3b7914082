"""Units that nothing reads are gone, and the model computes what it did."""

import keras
import numpy as np
import pytest
from dead_units import X, change, difference, functional, randomized, sequential, sizes, unread

import keras_sparse_rnn as ksr
from keras_sparse_rnn.slots import slots_of

layers = keras.layers
KINDS = {
    "lstm": layers.LSTM,
    "gru": layers.GRU,
    "gru that resets before": lambda *a, **k: layers.GRU(*a, reset_after=False, **k),
    "simple": layers.SimpleRNN,
    "around a cell": lambda units, **k: layers.RNN(layers.LSTMCell(units), **k),
}


@pytest.mark.parametrize("kind", KINDS)
def test_units_that_nothing_reads_are_gone(kind):
    model = sequential(
        KINDS[kind](7, return_sequences=True), KINDS[kind](6, name="b"), layers.Dense(2)
    )
    unread(model.get_layer("b"), [1, 4])
    change(model.layers[-1], 0, 0.0, [1, 4])
    small, error = difference(model)
    assert getattr(small.get_layer("b"), "cell", None).units == 4
    assert model.get_layer("b").cell.units == 6
    assert error < 1e-6


def test_units_that_only_read_each_other_are_gone():
    model = sequential(layers.GRU(6, name="a"), layers.Dense(2))
    recurrent = model.layers[0].get_weights()[1].reshape(6, 3, 6)
    recurrent[np.ix_([1, 4], [0, 1, 2], [0, 2, 3, 5])] = 0
    change(model.layers[0], 1, recurrent.reshape(6, 18))
    change(model.layers[-1], 0, 0.0, [1, 4])
    small, error = difference(model)
    assert sizes(small) == [4, 2]
    assert error < 1e-6


def test_what_only_dead_units_read_is_dead():
    model = sequential(
        layers.LSTM(5, return_sequences=True), layers.SimpleRNN(6, name="b"), layers.Dense(2)
    )
    a, b, head = model.layers
    unread(a, 2)
    weights = b.get_weights()[0]
    weights[2] = 0
    weights[2, 3] = 1.0  # unit 3 alone reads unit 2 of the first layer
    change(b, 0, weights)
    unread(b, 3)
    change(head, 0, 0.0, 3)
    small, error = difference(model)
    assert sizes(small) == [4, 5, 2]
    assert error < 1e-6


def test_embedding_dense_and_convolution_lose_units_too():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 5, name="e")(inputs)
    x = layers.TimeDistributed(layers.Dense(6, activation="tanh"), name="d")(x)
    x = layers.BatchNormalization(name="n")(x)
    x = layers.Conv1D(5, 2, activation="relu", padding="same", name="c")(x)
    x = layers.LeakyReLU()(layers.MaxPooling1D(2)(x))
    model = randomized(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))))
    change(model.get_layer("d"), 0, 0.0, 1)
    change(model.get_layer("c"), 0, 0.0, slice(None), [0, 5])
    head = model.layers[-1].get_weights()[0].reshape(3, 5, 2)
    head[:, [2, 3]] = 0
    change(model.layers[-1], 0, head.reshape(15, 2))
    small, error = difference(model, np.random.default_rng(0).integers(0, 11, (3, 6)))
    assert small.get_layer("e").output_dim == 4
    assert small.get_layer("d").layer.units == 4
    assert small.get_layer("n").gamma.shape == (4,)
    assert small.get_layer("c").filters == 3
    assert error < 1e-6


@pytest.mark.parametrize("mode", ["concat", "sum", None])
def test_bidirectional_layers_keep_as_many_units_in_both_ways(mode):
    def make(x):
        y = layers.Bidirectional(layers.LSTM(5), merge_mode=mode, name="both")(x)
        return layers.Dense(2, name="head")(layers.Concatenate()(y) if mode is None else y)

    model = functional(make)
    both, head = model.get_layer("both"), model.get_layer("head")
    for numbers in ((1, [0, 1, 3]), (4, [1, 3])):
        change(both, numbers[0], 0.0, numbers[1])
    change(head, 0, 0.0, [1, 3] if mode == "sum" else [0, 1, 3, 6, 8])
    small, error = difference(model)
    units = [
        getattr(small.get_layer("both"), f"{way}_layer").units for way in ("forward", "backward")
    ]
    assert units == [3, 3]
    assert error < 1e-6


def test_layers_that_are_added_lose_the_same_units():
    def make(x):
        x = layers.Dense(5, name="a")(x)
        y = layers.GRU(5, return_sequences=True, name="b")(x)
        return layers.Dense(2, name="head")(layers.Add()([x, y]))

    model = functional(make)
    unread(model.get_layer("b"), [0, 2])
    change(model.get_layer("head"), 0, 0.0, [0, 2])
    change(model.get_layer("b"), 0, 0.0, 2)  # and 0 is still read by the GRU
    small, error = difference(model)
    assert sizes(small) == [4, 4, 2]
    assert error < 1e-6


def test_states_between_layers_keep_the_same_units():
    def make(x):
        _, h, c = layers.LSTM(6, return_state=True, name="a")(x)
        return layers.Dense(2)(layers.LSTM(6, name="b")(x, initial_state=[h, c]))

    model = functional(make)
    for name in "ab":
        unread(model.get_layer(name), [1, 4])
    change(model.layers[-1], 0, 0.0, [1, 4])
    small, error = difference(model)
    assert [small.get_layer(name).units for name in "ab"] == [4, 4]
    assert error < 1e-6


def test_states_that_the_caller_sees_keep_their_shape():
    x, h = keras.Input((6, 5)), keras.Input((6,))
    y, state = layers.GRU(6, return_state=True, name="a")(x, initial_state=h)
    hidden = layers.GRU(4, name="b")(x)
    model = randomized(keras.Model([x, h], [layers.Dense(2)(y), state, layers.Dense(2)(hidden)]))
    for name in "ab":
        unread(model.get_layer(name), 2)
    for head in model.layers[-2:]:
        change(head, 0, 0.0, 2)
    small, error = difference(model, [X, np.ones((3, 6), "float32")])
    assert [small.get_layer(name).units for name in "ab"] == [6, 3]
    assert error < 1e-6


def test_outputs_of_the_model_stay():
    model = sequential(layers.LSTM(4))
    unread(model.layers[0], 1)
    small, error = difference(model)
    assert sizes(small) == [4] and error == 0


def test_what_looks_at_all_units_keeps_them():
    model = sequential(
        layers.LSTM(5, return_sequences=True), layers.LayerNormalization(), layers.Dense(2)
    )
    unread(model.layers[0], 1)
    change(model.layers[-1], 0, 0.0, 1)
    small, error = difference(model)
    assert sizes(small) == [5, 2] and error == 0


@pytest.mark.parametrize(("key", "left"), [(np.s_[:, -1], 4), (np.s_[..., ::-1], 5)])
def test_a_step_of_a_sequence_is_taken_and_what_takes_units_keeps_them(key, left):
    def make(x):
        x = layers.LSTM(5, return_sequences=True, name="a")(x)
        return layers.Dense(2, name="head")(x[key])

    model = functional(make)
    unread(model.get_layer("a"), 1)
    change(model.get_layer("head"), 0, 0.0, 1)
    small, error = difference(model)
    assert small.get_layer("a").units == left
    assert error < 1e-6


def test_a_nested_model_becomes_smaller_inside_and_at_its_outputs():
    inner = keras.Sequential(
        [keras.Input((6, 5)), layers.LSTM(5, return_sequences=True), layers.GRU(4, name="b")]
    )
    model = sequential(inner, layers.Dense(2))
    unread(inner.layers[0], 3)
    change(inner.layers[1], 0, 0.0, 3)
    unread(inner.layers[1], 0)
    change(model.layers[-1], 0, 0.0, 0)
    small, error = difference(model)
    assert sizes(small.layers[0]) == [4, 3]
    assert error < 1e-6


def test_a_stateful_layer_goes_on_from_its_states():
    model = keras.Sequential(
        [keras.Input((6, 5), batch_size=3), layers.LSTM(5, stateful=True), layers.Dense(2)]
    )
    randomized(model)
    unread(model.layers[0], 1)
    change(model.layers[-1], 0, 0.0, 1)
    model(X)
    small = ksr.remove_dead_units(model)
    assert sizes(small) == [4, 2]
    np.testing.assert_allclose(small(X), model(X), atol=1e-6)


def test_training_goes_on_with_what_the_optimizer_knows():
    model = sequential(layers.SimpleRNN(5), layers.Dense(2))
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    model.train_on_batch(X, np.ones((3, 2), "float32"))
    change(model.layers[-1], 0, 0.0, 1)
    unread(model.layers[0], 1)
    small = ksr.remove_dead_units(model)
    assert small.optimizer.iterations.numpy() == 1
    stay = [0, 2, 3, 4]
    for number, cut in ((0, np.s_[:, stay]), (1, np.ix_(stay, stay)), (2, stay), (3, stay)):
        old, new = (one.trainable_variables[number] for one in (model, small))
        slots = [list(slots_of(one.optimizer, v)) for one, v in ((model, old), (small, new))]
        assert len(slots[0]) == 2
        for (_, _, slot), (_, _, new_slot) in zip(*slots):
            np.testing.assert_array_equal(new_slot.numpy(), slot.numpy()[cut])


@pytest.mark.parametrize("steps", [3, None])
def test_what_is_flattened_at_each_step(steps):
    inputs = keras.Input((steps, 6, 5))
    y = layers.TimeDistributed(layers.Conv1D(4, 3, activation="relu", name="conv"))(inputs)
    y = layers.TimeDistributed(layers.Flatten())(layers.TimeDistributed(layers.MaxPooling1D(2))(y))
    model = randomized(keras.Model(inputs, layers.Dense(2)(layers.LSTM(3, name="rnn")(y))))
    change(model.get_layer("rnn"), 0, 0.0, [1, 5])  # both steps of the filter 1
    change(model.layers[1].layer, 0, 0.0, ..., 2)  # the filter 2 is constant
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 5)).astype("float32")
    small, error = difference(model, x)
    assert small.layers[1].layer.filters == 2
    assert error < 1e-6
