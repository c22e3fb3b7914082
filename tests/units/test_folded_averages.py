"""Constants that are gone go into the averages of biases, too, of which a model may be made."""

import keras
import numpy as np
import pytest
from dead_units import X, difference, sequential, sizes

import keras_sparse_rnn as ksr
from keras_sparse_rnn.slots import slots_of

layers = keras.layers
Y = np.random.default_rng(4).normal(size=(3, 2)).astype("float32")
OPTIMIZERS = {
    "use_ema": lambda: keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.8),
    "wrapped": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.8)
    ),
    "averaged": lambda: ksr.optimizers.AveragedSGD(0.3, begin_step=1),
}


def trained(optimizer, reader):
    model = sequential(
        layers.Dense(6, activation="relu", name="h"), reader, layers.Dense(2, name="head")
    )
    model.compile(optimizer, "mse", run_eagerly=True)
    for _ in range(6):
        model.train_on_batch(X, Y)
    kernel, bias = model.get_layer("h").trainable_variables
    for one in [kernel, *averages(model, kernel)]:  # as `UnitPruning` does
        one.assign(one.numpy() * np.array([1, 0, 1, 1, 0, 0], "float32"))
    bias.assign([0.1, 0.4, 0.2, 0.1, -0.3, 0.2])
    for one in averages(model, bias):  # unit 4 is zero now, and not with the averages
        one.assign([0.2, 0.1, 0.1, 0.3, 0.5, 0.4])
    return model


def averages(model, variable):
    names = ("_model_variables_moving_average", "averages")
    found = [slot for _, name, slot in slots_of(model.optimizer, variable) if name in names]
    assert found
    return found


def with_averages(model):
    for variable in model.trainable_variables:
        variable.assign(averages(model, variable)[0])
    return np.asarray(model(X))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "reader",
    [
        lambda: layers.GRU(4),
        lambda: ksr.layers.BlockSparseLSTM(4, block_shape=(2, 2), sparsity=0.25),
    ],
    ids=["gru", "packed"],
)
def test_the_averages_compute_what_they_did(optimizer, reader):
    model = trained(OPTIMIZERS[optimizer](), reader())
    before = model.get_weights()
    small, error = difference(model)
    assert sizes(small)[0] == 3
    assert error < 1e-6
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)
    now = np.asarray(model(X))
    expected = with_averages(model)
    assert np.abs(expected - now).max() > 1e-2
    np.testing.assert_allclose(with_averages(small), expected, atol=1e-6)


def test_what_is_no_constant_with_the_averages_is_taken_for_the_one_that_it_is():
    model = sequential(layers.Dense(3, activation="tanh", name="h"), layers.Dense(2, name="head"))
    model.compile(OPTIMIZERS["use_ema"](), "mse", run_eagerly=True)
    model.train_on_batch(X, np.ones((3, 6, 2), "float32"))
    kernel, bias = model.get_layer("h").trainable_variables
    kernel.assign(kernel.numpy() * np.array([1, 0, 1], "float32"))  # by hand: its average stays
    small, error = difference(model)
    assert sizes(small) == [2, 2]
    assert error < 1e-6
    head = [one.get_layer("head") for one in (model, small)]
    weights, old, new = (
        averages(*pair)[0].numpy()
        for pair in ((model, head[0].kernel), (model, head[0].bias), (small, head[1].bias))
    )
    np.testing.assert_allclose(new, old + np.tanh(bias.numpy()[1]) * weights[1], atol=1e-6)
