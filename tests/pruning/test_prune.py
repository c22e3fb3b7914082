"""Pruning at once, without training."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.patterns import Block, BlockGrid

layers = keras.layers


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((None, 20)), layers.LSTM(33, name="rnn"), layers.Dense(4, name="head")]
    )


def grids(model, block_shape):
    cell = model.get_layer("rnn").cell
    return [
        (variable, BlockGrid(int(variable.shape[0]), 33, 4, block_shape))
        for variable in (cell.kernel, cell.recurrent_kernel)
    ]


def test_the_lowest_blocks_of_each_gate_become_zero_and_nothing_else_changes(model):
    before = [(variable, variable.numpy()) for variable in model.variables]
    assert ksr.prune(model, 0.75, (4, 3)) is model
    pruned = {id(variable): grid for variable, grid in grids(model, (4, 3))}
    for variable, weights in before:
        if id(variable) in pruned:
            grid = pruned[id(variable)]
            live = Block((4, 3)).keep(grid, weights, 0.75)
            np.testing.assert_array_equal(variable.numpy(), weights * grid.expand(live))
        else:
            np.testing.assert_array_equal(variable.numpy(), weights)
    assert all(variable.constraint is None for variable in model.variables)


def test_by_default_nine_tenths_in_blocks_of_16(model):
    model = keras.Sequential([keras.Input((None, 64)), layers.LSTM(160, name="rnn")])
    ksr.prune(model)
    sparse = ksr.substitute(model)
    assert ksr.report(sparse, console=False).sparsity == pytest.approx(0.9, abs=0.01)
    x = np.random.default_rng(0).normal(size=(2, 5, 64)).astype("float32")
    np.testing.assert_allclose(model(x), sparse(x), atol=1e-5)


def test_moving_averages_are_pruned_too(model):
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    model.fit(np.ones((4, 3, 20)), np.ones((4, 4)), verbose=0)
    ksr.prune(model, 0.5, (4, 3))
    kernel = model.get_layer("rnn").cell.recurrent_kernel
    (average,) = ksr.slots.moving_averages(model.optimizer, kernel)
    np.testing.assert_array_equal(average.numpy() == 0, kernel.numpy() == 0)


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
def test_scores_of_gradients_need_a_trained_model(model):
    before = model.get_weights()
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="`criterion` Fisher needs the gradients of steps"):
        ksr.prune(model, criterion="fisher")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    model.fit(np.ones((4, 3, 20)), np.ones((4, 4)), verbose=0)
    ksr.prune(model, 0.5, (4, 3), criterion="fisher", scope=None)
    zero = np.concatenate([variable.numpy().ravel() == 0 for variable, _ in grids(model, (4, 3))])
    assert zero.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"sparsity": 90},
            "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=90",
        ),
        (
            {"block_shape": 16},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=16",
        ),
        (
            {"scope": "layer"},
            "`scope` must be one of 'gate', 'kernel', 'model', None. Received: scope='layer'",
        ),
    ],
)
def test_bad_arguments(arguments, message, model):
    with pytest.raises(ValueError) as error:
        ksr.prune(model, **arguments)
    assert str(error.value) == message


def test_weights_that_are_not_finite_are_left_alone(model):
    kernel = model.get_layer("rnn").cell.recurrent_kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    first = model.get_layer("rnn").cell.kernel.numpy()
    with pytest.raises(ValueError, match="training has diverged"):
        ksr.prune(model, 0.5, (4, 3))
    np.testing.assert_array_equal(model.get_layer("rnn").cell.kernel.numpy(), first)
