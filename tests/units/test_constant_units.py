"""Units that never change are gone, and their value is in the biases of what reads them."""

import keras
import numpy as np
import pytest
from dead_units import (
    X,
    change,
    difference,
    functional,
    randomized,
    sequential,
    sizes,
    without_candidate,
)

import keras_sparse_rnn as ksr

layers = keras.layers
GATED = [(layers.LSTM, 4), (layers.GRU, 3)]


@pytest.mark.parametrize(("kind", "gates"), GATED)
def test_a_unit_whose_candidate_is_zero_stays_at_zero_and_is_gone(kind, gates):
    model = sequential(kind(6, name="a"), layers.Dense(2))
    without_candidate(model.layers[0], 1, gates)
    small, error = difference(model)
    assert sizes(small) == [5, 2]
    assert error < 1e-6


@pytest.mark.parametrize(("kind", "gates"), GATED)
def test_units_that_hold_each_other_at_zero_are_gone(kind, gates):
    model = sequential(kind(6, name="a"), layers.Dense(2))
    without_candidate(model.layers[0], [1, 4], gates)
    columns = {4: 2, 3: 2}[gates] * 6 + np.array([1, 4])
    change(model.layers[0], 1, 0.7, *np.ix_([1, 4], columns))
    small, error = difference(model)
    assert sizes(small) == [4, 2]
    assert error < 1e-6


@pytest.mark.parametrize(("kind", "gates"), GATED)
def test_a_unit_without_inputs_that_moves_stays(kind, gates):
    """Its gates are constant, but the state needs steps to get where they bring it."""
    model = sequential(kind(6, return_sequences=True, name="a"), layers.Dense(2))
    columns = 1 + 6 * np.arange(gates)
    change(model.layers[0], 0, 0.0, slice(None), columns)
    change(model.layers[0], 1, 0.0, slice(None), columns)
    states = np.asarray(model.layers[0](X))[..., 1]
    assert np.ptp(states, axis=0).max() == 0 and np.ptp(states, axis=1).min() > 0.01
    small, error = difference(model)
    assert sizes(small) == [6, 2] and error == 0


def test_a_gru_whose_candidate_has_a_bias_behind_the_reset_gate_moves():
    model = sequential(layers.GRU(6), layers.Dense(2))
    without_candidate(model.layers[0], 1, 3)
    change(model.layers[0], 2, 0.3, 1, 2 * 6 + 1)
    small, error = difference(model)
    assert sizes(small) == [6, 2] and error == 0


def test_an_initial_state_from_outside_is_not_zero():
    x, h, c = keras.Input((6, 5)), keras.Input((3,)), keras.Input((3,))
    state = [layers.Dense(6)(h), layers.Dense(6)(c)]
    y = layers.LSTM(6, name="a")(x, initial_state=state)
    model = randomized(keras.Model([x, h, c], layers.Dense(2)(y)))
    without_candidate(model.get_layer("a"), 1, 4)
    given = [X, *np.ones((2, 3, 3), "float32")]
    small, error = difference(model, given)
    assert sizes(small) == [6, 6, 6, 2] and error == 0
    for layer in model.layers:
        if layer.name.startswith("dense") and layer.units == 6:
            change(layer, 0, 0.0, slice(None), 1)
            change(layer, 1, 0.0, 1)
    small, error = difference(model, given)
    assert sizes(small) == [5, 5, 5, 2]
    assert error < 1e-6


def test_a_state_that_is_kept_from_before_is_not_zero():
    model = keras.Sequential(
        [keras.Input((6, 5), batch_size=3), layers.GRU(5, stateful=True), layers.Dense(2)]
    )
    randomized(model)
    without_candidate(model.layers[0], 1, 3)
    assert sizes(ksr.remove_dead_units(model)) == [4, 2] or model.layers[0].states[0].numpy().any()
    model.layers[0].states[0].assign(np.ones((3, 5)))
    assert sizes(ksr.remove_dead_units(model)) == [5, 2]


def test_a_constant_goes_into_the_biases_of_all_that_read_it():
    def make(x):
        x = layers.Dense(6, activation="tanh", name="a")(x)
        x = layers.Activation("sigmoid")(layers.Dropout(0.5)(x))
        y = layers.LSTM(4, name="b")(x)
        z = layers.GRU(4, name="c")(x)
        c = layers.Conv1D(3, 2, name="d")(x)
        return [layers.Dense(2)(one) for one in (y, z, c)]

    model = functional(make)
    change(model.get_layer("a"), 0, 0.0, slice(None), 1)
    small, error = difference(model)
    assert small.get_layer("a").units == 5
    assert error < 1e-6


def test_a_constant_stays_where_it_can_go_into_no_bias():
    for reader in (layers.Dense(2, use_bias=False), layers.Conv1D(2, 3, padding="same")):
        model = sequential(layers.Dense(4, name="a"), reader)
        change(model.layers[0], 0, 0.0, slice(None), 1)
        small, error = difference(model)
        assert sizes(small) == [4, 2] and error == 0
        change(model.layers[0], 1, 0.0, 1)  # but a zero is worth nothing
        small, error = difference(model)
        assert sizes(small) == [3, 2] and error < 1e-6


def test_a_constant_of_a_simple_rnn_goes_unless_its_own_layer_reads_it():
    model = sequential(layers.SimpleRNN(5, return_sequences=True), layers.Dense(2))
    change(model.layers[0], 0, 0.0, slice(None), 1)
    change(model.layers[0], 1, 0.0, slice(None), 1)
    small, error = difference(model)  # the others read the zero with which it begins
    assert sizes(small) == [5, 2] and error == 0
    change(model.layers[0], 1, 0.0, 1)
    small, error = difference(model)
    assert sizes(small) == [4, 2] and error < 1e-6


def test_a_constant_that_masks_interrupt_stays():
    model = sequential(layers.Masking(), layers.SimpleRNN(5), layers.Dense(2))
    layer, x = model.layers[1], X.copy()
    x[0] = 0  # no step at all
    change(layer, 0, 0.0, slice(None), 1)
    change(layer, 1, 0.0, slice(None), 1)
    change(layer, 1, 0.0, 1)
    small, error = difference(model, x)
    assert sizes(small) == [5, 2] and error == 0
    change(layer, 2, 0.0, 1)
    small, error = difference(model, x)
    assert sizes(small) == [4, 2] and error < 1e-6


@pytest.mark.parametrize("both", [False, True], ids=["one masked", "both masked"])
@pytest.mark.parametrize("kind", ["Multiply", "Maximum", "Minimum", "Add", "Average", "Subtract"])
def test_a_merge_behind_a_mask_is_no_constant_where_keras_replaces_masked_steps(kind, both):
    tokens, others = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True, name="e")(tokens)
    y = x if both else layers.Embedding(9, 4, name="f")(others)
    y = layers.Dense(4, activation="sigmoid", name="gate")(y)
    merged = getattr(layers, kind)()([x, y])
    model = randomized(keras.Model([tokens, others], layers.Dense(2, name="head")(merged)))
    change(model.get_layer("e"), 0, 0.7, slice(None), 1)
    change(model.get_layer("gate"), 0, 0.0, slice(None), 1)
    change(model.get_layer("gate"), 0, 0.0, 3)
    change(model.get_layer("head"), 0, 0.0, 3)  # nothing reads it: it goes whatever is masked
    x = [np.array([[0, 0, 1, 2, 3, 4]]), np.array([[5, 3, 1, 2, 3, 4]])]
    small, error = difference(model, x)
    assert small.get_layer("gate").units == (2 if kind in ("Add", "Average", "Subtract") else 3)
    assert error < 1e-6


def test_a_column_of_an_embedding_that_is_the_same_in_all_rows_goes():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 5, mask_zero=True, name="e")(inputs)
    model = randomized(keras.Model(inputs, layers.Dense(2)(layers.LSTM(4)(x))))
    change(model.get_layer("e"), 0, 0.3, slice(None), 2)
    small, error = difference(model, np.random.default_rng(0).integers(0, 9, (3, 6)))
    assert small.get_layer("e").output_dim == 4
    assert error < 1e-6


def test_a_constant_of_constants_goes_with_them():
    model = sequential(
        layers.Dense(4, activation="relu"), layers.Dense(4, activation="gelu"), layers.Dense(2)
    )
    change(model.layers[0], 0, 0.0, slice(None), 1)
    change(model.layers[0], 1, 0.7, 1)
    change(model.layers[1], 0, 0.0, [0, 2, 3], 2)  # it reads the constant alone
    small, error = difference(model)
    assert sizes(small) == [3, 3, 2]
    assert error < 1e-6


def test_a_unit_behind_a_softmax_is_not_constant():
    model = sequential(layers.Dense(4, activation="softmax"), layers.Dense(2))
    change(model.layers[0], 0, 0.0, slice(None), 1)
    small, error = difference(model)
    assert sizes(small) == [4, 2] and error == 0


@pytest.mark.parametrize(
    "layer",
    [lambda: layers.MaxPooling1D(20, strides=1), lambda: layers.Cropping1D((4, 4))],
    ids=["pooling", "cropping"],
)
def test_a_constant_passes_what_shortens_a_sequence_of_any_length(layer):
    inputs = keras.Input((None, 5))
    y = layers.Dense(6, activation="relu", name="a")(inputs)
    y = layers.GlobalAveragePooling1D()(layer()(y))
    model = randomized(keras.Model(inputs, layers.Dense(2)(y)))
    change(model.get_layer("a"), 0, 0.0, slice(None), 2)
    x = np.random.default_rng(1).normal(size=(2, 30, 5)).astype("float32")
    small, error = difference(model, x)
    assert small.get_layer("a").units == 5
    assert error < 1e-6
