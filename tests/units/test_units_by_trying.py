"""Random networks with random units cut off: what is left is what matters, by trying."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from brute_force import GATES, KINDS, run, units_that_matter

import keras_sparse_rnn as ksr

X = np.random.default_rng(1).normal(size=(3, 4, 3)).astype("float32")


def layer(kind, units):
    if kind in ("lstm", "simple"):
        return {"lstm": keras.layers.LSTM, "simple": keras.layers.SimpleRNN}[kind](
            units, return_sequences=True
        )
    return keras.layers.GRU(units, return_sequences=True, reset_after=kind == "gru")


def weights(draw, generator, kind, inputs, units):
    """Random weights, in which some units lack inputs, or their candidate, or readers."""
    gates = GATES[kind]
    kernel, recurrent = (generator.normal(size=(n, gates, units)) for n in (inputs, units))
    bias = generator.normal(size=(2 if kind == "gru" else 1, gates, units))
    for unit in range(units):
        cut = draw(st.sampled_from(["nothing", "inputs", "candidate", "all", "readers"]))
        column = {4: 2, 3: 2, 1: 0}[gates] if cut == "candidate" else slice(None)
        if cut in ("inputs", "candidate", "all"):
            kernel[:, column, unit] = recurrent[:, column, unit] = 0
        if cut in ("candidate", "all"):
            bias[:, column, unit] = 0
        if cut == "readers":
            recurrent[unit] = 0
    recurrent *= generator.random(recurrent.shape) < 0.4
    kernel *= generator.random((inputs, 1, units)) < 0.5
    return [one.reshape(len(one), -1) for one in (kernel, recurrent)] + [
        bias.reshape(len(bias), -1).squeeze(0) if len(bias) == 1 else bias.reshape(2, -1)
    ]


@st.composite
def networks(draw):
    generator = np.random.default_rng(draw(st.integers(0, 2**20)))
    inputs, layers = 3, []
    for _ in range(2):
        kind, units = draw(st.sampled_from(KINDS)), draw(st.integers(2, 5))
        layers.append((kind, weights(draw, generator, kind, inputs, units)))
        inputs = units
    head = generator.normal(size=(inputs, 2)) * (generator.random((inputs, 1)) < 0.8)
    return layers, [head, generator.normal(size=2)]


@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
@hypothesis.given(networks())
def test_what_is_left_is_what_matters(network):
    layers, head = network
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            *(layer(kind, len(own[1])) for kind, own in layers),
            keras.layers.Dense(2),
        ]
    )
    model.set_weights([one for _, own in layers for one in own] + head)
    exact = [
        (kind, [one.astype("float32").astype("float64") for one in own]) for kind, own in layers
    ]
    matter = units_that_matter(exact, head, X.astype("float64"))
    if not all(matter):
        with pytest.raises(ValueError, match="must keep a unit in each layer"):
            ksr.remove_dead_units(model)
        return
    small = ksr.remove_dead_units(model)
    assert [one.units for one in small.layers] == [*map(len, matter), 2]
    expected, _ = run(exact, head, X.astype("float64"))
    np.testing.assert_allclose(small(X), model(X), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(small(X), expected, atol=1e-5, rtol=1e-5)
