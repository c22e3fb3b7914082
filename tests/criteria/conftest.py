"""A small model whose edges are partial blocks, and data for it."""

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)


@pytest.fixture
def data():
    """24 samples of (3, 5) -> 2."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(24, 3, 5)).astype("float32"), generator.normal(
        size=(24, 2)
    ).astype("float32")


@pytest.fixture
def make_model():
    """make_model(optimizer, **compile arguments): a GRU of 7 units "rnn" and a Dense "head",
    compiled.
    """

    def make(optimizer="adam", run_eagerly=True, **compile_arguments):
        inputs = keras.Input((3, 5))
        x = keras.layers.GRU(7, name="rnn", unroll=True)(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
        model.compile(optimizer, "mse", run_eagerly=run_eagerly, **compile_arguments)
        return model

    return make
