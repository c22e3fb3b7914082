"""Criteria by gradients: against their formulae, written out, and what they leave as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn import prune
from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.criteria import Fisher, Taylor
from keras_sparse_rnn.schedules import Constant
from keras_sparse_rnn.selection import find_kernels

SHAPE = (3, 2)


def fit(model, data, *callbacks):
    return model.fit(*data, batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))


def batches(data):
    return [(data[0][i : i + 8], data[1][i : i + 8]) for i in range(0, 24, 8)]


def scores(criterion, model):
    pairs = [(kernel, kernel.grid(SHAPE)) for kernel in find_kernels(model)]
    criterion.begin(model)
    criterion.prepare(pairs, model)
    return [criterion.block_scores(*pair, model) for pair in pairs]


def by_blocks(grid, values, function):
    """`function` of the weights of each block, one by one: inside the kernel only."""
    result = np.zeros(grid.shape)
    values = values.reshape(grid.inputs, grid.gates, grid.units)
    for g, c, r in np.ndindex(*grid.shape):
        result[g, c, r] = function(values[r * 3 : r * 3 + 3, g, c * 2 : c * 2 + 2])
    return result


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "nadam"])
def test_fisher_is_the_mean_of_squared_weights_and_gradients(optimizer, make_model, data):
    model = make_model(optimizer)
    fit(model, data)
    for kernel, found in zip(find_kernels(model), scores(Fisher(), model)):
        (squares,) = [
            v
            for v in model.optimizer.variables
            if v.path.endswith(f"{kernel.variable.path.replace('/', '_')}_velocity")
        ]
        expected = by_blocks(kernel.grid(SHAPE), kernel.numpy() ** 2.0 * squares.numpy(), np.mean)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert (found > 0).all()


def test_fisher_finds_the_optimizer_inside_another(make_model, data):
    model = make_model(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()))
    fit(model, data)
    assert all((found > 0).all() for found in scores(Fisher(), model))


def test_fisher_needs_squared_gradients(make_model, data):
    model = make_model("sgd")
    with pytest.raises(
        ValueError,
        match=(
            "Fisher needs an optimizer that keeps a running mean of squared "
            "gradients.*Received: SGD"
        ),
    ):
        fit(model, data, BlockPruning(Constant(0.5, 1), SHAPE, criterion=Fisher()))
    with pytest.raises(
        ValueError,
        match="let the schedule begin later. Received: .* zero or not there yet, at step 0",
    ):
        fit(make_model(), data, BlockPruning(Constant(0.5, 0), SHAPE, criterion=Fisher()))


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize("count", [2, 9])
def test_taylor_is_the_effect_of_a_block_on_the_loss(count, run_eagerly, make_model, data):
    model = make_model(run_eagerly=run_eagerly)
    found = scores(Taylor(batches(data), count), model)
    for kernel, score in zip(find_kernels(model), found):
        expected = []
        for x, y in batches(data)[:count]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x) - y) ** 2)
            effect = kernel.numpy() * tape.gradient(loss, kernel.variable.value).numpy()
            expected.append(
                by_blocks(kernel.grid(SHAPE), effect, lambda block: abs(block.sum()) / block.size)
            )
        np.testing.assert_allclose(score, np.mean(expected, axis=0), rtol=2e-4, atol=1e-9)


def test_taylor_tells_what_zeroing_a_block_does(make_model, data):
    """Of small weights: then the first order is nearly the whole."""
    model = make_model()
    model.set_weights([w * 0.05 for w in model.get_weights()])
    (score,), kernel = scores(Taylor([data]), model)[:1], find_kernels(model)[0]
    grid, weights, before = kernel.grid(SHAPE), kernel.numpy(), model.evaluate(*data, verbose=0)
    for place in [(0, 1, 0), (2, 0, 1), (2, 3, 0)]:
        live = np.ones(grid.shape, bool)
        live[place] = False
        kernel.variable.assign(weights * grid.expand(live))
        change = abs(model.evaluate(*data, verbose=0, batch_size=24) - before)
        assert change == pytest.approx(score[place] * grid.elements[place], rel=0.15, abs=1e-7)
    kernel.variable.assign(weights)


def test_taylor_leaves_states_and_metrics_as_they_are(data):
    inputs = keras.Input(batch_shape=(8, 3, 5))
    x = keras.layers.BatchNormalization()(
        keras.layers.GRU(7, stateful=True, name="rnn", unroll=True)(inputs)
    )
    model = keras.Model(
        inputs, [keras.layers.Dense(2, name="a")(x), keras.layers.Dense(2, name="b")(x)]
    )
    model.compile("sgd", "mse", metrics=[["mae"], ["mae"]], run_eagerly=True)
    x, y = data
    model.train_on_batch(x[:8], [y[:8], y[:8]])
    before = [v.numpy() for v in [*model.variables, *model.metrics_variables]]
    assert all((found > 0).all() for found in scores(Taylor([(x[:8], (y[:8], y[8:16]))]), model))
    after = [v.numpy() for v in [*model.variables, *model.metrics_variables]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_taylor_prunes(kind, make_model, data):
    model = make_model()
    source = batches(data) if kind == "list" else tf.data.Dataset.from_tensor_slices(data).batch(8)
    pruning = BlockPruning(Constant(0.5, 1), SHAPE, criterion=Taylor(source))
    fit(model, data, pruning)
    assert pruning.sparsity == pytest.approx(0.5, abs=0.06)


def test_arrays_in_place_of_batches_are_refused(data):
    for arrays in (data, list(data), data[0]):
        with pytest.raises(ValueError) as error:
            Taylor(arrays)
        assert str(error.value) == (
            "`data` must be batches (x, y), such as [(x[:32], y[:32]), (x[32:64], y[32:64])], and "
            "not the arrays themselves; (x,) where there is no y. Received: an array of shape "
            f"{data[0].shape}"
        )


def test_what_taylor_refuses(make_model, data):
    with pytest.raises(
        ValueError,
        match=(
            r"`data` must be batches \(x, y\) that can be iterated over more than "
            r"once. Received: data of type generator"
        ),
    ):
        Taylor(one for one in batches(data))
    with pytest.raises(
        ValueError, match="`batches` must be an integer of at least 1. Received: batches=0"
    ):
        Taylor([data], 0)
    with pytest.raises(
        ValueError, match="`data` must have at least one batch to take gradients of. Received: none"
    ):
        scores(Taylor([]), make_model())
    lossless = keras.Sequential(make_model().layers[1:])
    lossless.build((None, 3, 5))
    lossless.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="No loss to compute"):
        scores(Taylor([data]), lossless)
    with pytest.raises(
        ValueError, match="The data of a criterion Taylor cannot be written into a config"
    ):
        BlockPruning(Constant(0.5, 1), criterion=Taylor([data])).get_config()


def test_infinite_weights_are_told_by_fisher_too(make_model, data):
    model = make_model("adam")
    fit(model, data)
    kernel = find_kernels(model)[0]
    weights = kernel.numpy().copy()
    weights[0, 0] = np.inf
    kernel.variable.assign(weights)
    with pytest.raises(ValueError) as error:
        prune(model, 0.5, SHAPE, criterion="fisher")
    assert str(error.value) == (
        f"No mask can be taken from {kernel.name}. `kernel` must be finite when a mask is taken "
        f"from it: training has diverged. Received: 1 of {weights.size} weights are NaN or infinite"
    )
