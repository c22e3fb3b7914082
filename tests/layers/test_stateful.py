"""Stateful layers, one step at a time in a graph, as `predict` and a `tf.function` run them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr

CELLS = {
    "lstm": (keras.layers.LSTM, {}),
    "gru": (keras.layers.GRU, {}),
    "gru, reset before": (keras.layers.GRU, {"reset_after": False}),
    "simple_rnn": (keras.layers.SimpleRNN, {}),
}
KINDS = {
    "packed": {},
    "masked": {"storage": "masked"},
    "reference": {"kernel": "reference"},
    "bfloat16": {"weights": "bfloat16"},
    "int8": {"weights": "int8"},
    "int8 x int8": {"weights": "int8", "activations": "int8"},
}
BATCH, TIME, INPUTS, UNITS = 2, 5, 8, 12


def model(cell, kind, **options):
    """A pruned layer in block-sparse ones; the same weights each time."""
    make, more = CELLS[cell]
    layer = make(UNITS, return_sequences=True, **options, **more)
    steps = 1 if options else TIME
    one = keras.Sequential([keras.Input((steps, INPUTS), batch_size=BATCH), layer])
    generator = np.random.default_rng(0)
    one.set_weights([generator.normal(size=w.shape) / 2 for w in one.get_weights()])
    ksr.prune(one, 0.5, (4, 4))
    return ksr.substitute(one, (4, 4), **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.quick_cases(6)
def test_steps_in_a_graph_are_those_of_the_sequence(cell, kind):
    x = np.random.default_rng(1).normal(size=(BATCH, TIME, INPUTS)).astype("float32")
    whole = model(cell, kind)(x)
    stepping = model(cell, kind, stateful=True)
    steps = [x[:, step : step + 1] for step in range(TIME)]
    predicted = [stepping.predict(step, verbose=0) for step in steps]
    np.testing.assert_allclose(np.concatenate(predicted, axis=1), whole, atol=1e-5)
    stepping.layers[-1].reset_states()
    function = tf.function(stepping.layers[-1])
    called = [function(tf.constant(step)) for step in steps]
    np.testing.assert_allclose(np.concatenate(called, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_graph_knows_the_shapes_of_outputs_and_states(cell, kind):
    layer = model(cell, kind, return_state=True).layers[-1]
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((BATCH, TIME, INPUTS)))
    outputs, *states = graph.structured_outputs
    assert outputs.shape == (BATCH, TIME, UNITS)
    assert [state.shape for state in states] == [(BATCH, UNITS)] * (2 if cell == "lstm" else 1)
