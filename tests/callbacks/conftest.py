"""Small models and data for pruning: odd sizes, so that edges are partial, and few steps, so that
tests are quick.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn.patterns import BlockGrid

GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple_rnn": keras.layers.SimpleRNN}


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)


@pytest.fixture
def data():
    """40 samples of (2, 5) -> 2: five steps of 8."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(40, 2, 5)).astype("float32"), generator.normal(
        size=(40, 2)
    ).astype("float32")


@pytest.fixture
def make_model():
    """make_model(kind, units, optimizer, **compile arguments): a recurrent layer "rnn" and a Dense
    "head", compiled.

    It runs eagerly and unrolled unless told otherwise: one step is quick, and nothing has to be
    traced.
    """

    def make(
        kind="simple_rnn",
        units=11,
        optimizer=None,
        run_eagerly=True,
        unroll=True,
        **compile_arguments,
    ):
        arguments = {
            key: compile_arguments.pop(key)
            for key in list(compile_arguments)
            if "constraint" in key or "initializer" in key
        }
        model = keras.Sequential(
            [
                keras.Input((2, 5)),
                LAYERS[kind](units, name="rnn", unroll=unroll, **arguments),
                keras.layers.Dense(2, name="head"),
            ]
        )
        model.compile(
            optimizer or keras.optimizers.SGD(0.05),
            "mse",
            run_eagerly=run_eagerly,
            **compile_arguments,
        )
        return model

    return make


@pytest.fixture
def own_step():
    """own_step(model, optimizer): a `tf.function` of (x, y), the step of a user's own loop."""

    def make(model, optimizer):
        model.compile(optimizer)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)

        return step

    return make


@pytest.fixture
def grid_of():
    """grid_of(variable, block_shape, gates): the grid that cuts it."""

    def grid(variable, block_shape, gates):
        return BlockGrid(
            int(variable.shape[0]), int(variable.shape[1]) // gates, gates, block_shape
        )

    return grid


@pytest.fixture
def assert_sparse(grid_of):
    """assert_sparse(variable, block_shape, gates, sparsity): each gate has it in zero blocks, to
    within half a block or to the last.
    """

    def check(variable, block_shape, gates, sparsity):
        grid = grid_of(variable, block_shape, gates)
        live = grid.live(np.array(variable.numpy()))
        for alive, elements in zip(live, grid.elements):
            short = sparsity * elements.sum() - elements[~alive].sum()
            assert short >= -elements.max() / 2 - 1e-3
            assert short <= elements.max() / 2 + 1e-3 or np.count_nonzero(alive) == 1
        return live

    return check
