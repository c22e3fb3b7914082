"""Models compute the same with their units in another order, and train on the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_models import X, functional, randomized

import keras_sparse_rnn as ksr
from keras_sparse_rnn.reordering import by_importance
from keras_sparse_rnn.selection import find_kernels

layers = keras.layers
Y = np.random.default_rng(4).normal(size=(6, 2)).astype("float32")


def sequential(*inner):
    return randomized(keras.Sequential([keras.Input((4, 5)), *inner]))


def stacked(x):
    x = layers.LSTM(7, return_sequences=True, name="a")(x)
    x = layers.LayerNormalization()(layers.Dropout(0.2)(x))
    x = layers.GRU(6, return_sequences=True, name="b")(x)
    x = layers.BatchNormalization()(layers.LeakyReLU()(x))
    return layers.Dense(2)(layers.SimpleRNN(5, name="c")(x))


def both_ways(x):
    x = layers.Bidirectional(layers.LSTM(7, return_sequences=True), name="one")(x)
    x = layers.Bidirectional(layers.GRU(6, return_sequences=True, reset_after=False), name="two")(x)
    return layers.TimeDistributed(layers.Dense(2, activation="tanh"))(x)


def branches(x):
    a = layers.LSTM(4, return_sequences=True, name="a")(x)
    b = layers.GRU(5, return_sequences=True, name="b")(layers.Concatenate()([x, a]))
    wide = layers.Concatenate()([b, x, a, layers.Dropout(0.1)(b)])
    return layers.Dense(2, name="head")(layers.GlobalAveragePooling1D()(wide)), layers.Dense(1)(a)


def states(x):
    sequences, h, c = layers.LSTM(4, return_sequences=True, return_state=True, name="a")(x)
    return layers.Dense(2)(layers.Concatenate()([h, c])), layers.Dense(1)(sequences)


def by_cell(x):
    return layers.Dense(2)(layers.RNN(layers.LSTMCell(7), name="a")(x))


def masked_storage(x):
    return layers.Dense(2)(ksr.layers.BlockSparseLSTM(7, (2, 3), storage="masked", name="a")(x))


@pytest.mark.parametrize("make", [stacked, both_ways, branches, states, by_cell, masked_storage])
def test_the_predictions_stay(make):
    model = functional(make)
    before, weights = model(X), [w.numpy() for w in model.weights]
    orders = ksr.reorder_units(model)
    assert list(orders) == [
        kernel.path for kernel in find_kernels(model) if kernel.role == "recurrent_kernel"
    ]
    assert all(not np.array_equal(order, np.arange(order.size)) for order in orders.values())
    after = model(X)
    for a, b in zip(keras.tree.flatten(before), keras.tree.flatten(after)):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)
    assert any(not np.array_equal(w, v.numpy()) for w, v in zip(weights, model.weights))


def scaled():
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())


def with_momentum():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def factored():
    # Factors of a square kernel have one shape: which is which, only their names tell.
    return keras.optimizers.Adafactor(1e-2)


@pytest.mark.parametrize("layer", [layers.LSTM, layers.SimpleRNN])
@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, with_momentum, scaled, factored])
@pytest.mark.quick_cases(2)
def test_training_goes_on_as_if_nothing_had_been(optimizer, layer):
    def made():
        keras.utils.set_random_seed(1)
        model = sequential(layer(7, unroll=True, name="a"), layers.Dense(2))
        model.compile(optimizer(), "mse", run_eagerly=True)
        return model

    check_training_goes_on(made)


def check_training_goes_on(made):
    """Two models that `made` makes have equal losses, whether the units of one are reordered in
    the middle of training or not.
    """
    losses = []
    for reorder in (False, True):
        model = made()
        for _ in range(3):
            model.train_on_batch(X, Y)
        if reorder:
            ksr.reorder_units(model)
        losses.append([float(model.train_on_batch(X, Y)) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


class TwoOptimizers(keras.Model):
    """One in an attribute, one in a dict, none in `compile`."""

    def compile(self, one, other):
        super().compile(loss="mse", run_eagerly=True)
        self.one, self.others = one, {"other": other}

    def train_step(self, data):
        x, y = data[:2]
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.one.apply(gradients[:2], variables[:2])
        self.others["other"].apply(gradients[2:], variables[2:])
        return {"loss": loss}


def test_optimizers_that_are_attributes_go_along():
    def made():
        inputs = keras.Input((4, 5))
        model = TwoOptimizers(inputs, layers.Dense(2)(layers.GRU(7, name="a")(inputs)))
        randomized(model).compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1))
        return model

    check_training_goes_on(made)


class PerColumn(keras.optimizers.SGD):
    """Keeps a number for each column, in a shape of its own."""

    def build(self, variables):
        super().build(variables)
        self.columns = [self.add_variable((2, one.shape[-1]), name="columns") for one in variables]


def test_slots_of_a_shape_that_is_not_known_are_named():
    model = sequential(layers.GRU(7, name="a"), layers.Dense(2))
    model.compile(PerColumn(0.1), "mse", run_eagerly=True)
    model.train_on_batch(X, Y)
    before = model(X)
    with pytest.warns(UserWarning) as warned:
        ksr.reorder_units(model)
    assert [str(one.message) for one in warned] == [
        "`reorder_units` leaves 'columns' of the optimizer PerColumn in the old order: its slots "
        "must have the shape of their weights, for it is not known which of their numbers belong "
        "to which units. Received: shape (2, 21) for 'sequential/a/gru_cell/kernel' of shape "
        "(5, 21). Training goes on, but not as if nothing had been; compile the model anew to let "
        "the optimizer begin anew"
    ]
    assert warned[0].filename == __file__
    np.testing.assert_allclose(before, model(X), rtol=2e-6)


def test_the_order_is_that_of_the_importance():
    model = sequential(layers.GRU(7, name="a"), layers.Dense(2))
    cell = model.get_layer("a").cell
    scale = np.array([3, 1, 7, 2, 6, 5, 4.0])
    weights = np.random.default_rng(0).uniform(0.9, 1.1, (7, 3, 7)) * scale[:, None, None] * scale
    cell.recurrent_kernel.assign(weights.reshape(7, 21))
    (order,) = ksr.reorder_units(model).values()
    assert order.tolist() == [2, 4, 5, 6, 0, 3, 1]
    np.testing.assert_allclose(
        cell.recurrent_kernel.numpy(), weights[order][:, :, order].reshape(7, 21), rtol=1e-6
    )
    assert (np.diff(np.abs(cell.recurrent_kernel.numpy()).reshape(7, 3, 7).sum((1, 2))) < 0).all()


def test_any_criterion_can_say_what_a_weight_is_worth():
    model = sequential(layers.LSTM(7, unroll=True, name="a"), layers.Dense(2))
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(X, Y)
    before = model(X)
    cell = model.get_layer("a").cell
    (velocity,) = [v for v in model.optimizer.variables if "recurrent_kernel_velocity" in v.path]
    saliency = (
        (cell.recurrent_kernel.numpy() ** 2 * velocity.numpy())
        .reshape(7, 4, 7)
        .transpose(1, 0, 2)
        .astype("float64")
    )
    (order,) = ksr.reorder_units(model, criterion=ksr.criteria.Fisher()).values()
    np.testing.assert_array_equal(order, by_importance(saliency))
    np.testing.assert_allclose(before, model(X), rtol=2e-6)


def test_more_falls_into_few_blocks():
    generator = np.random.default_rng(0)
    gains = generator.permutation(np.geomspace(0.1, 3, 32))
    scores = (generator.normal(size=(4, 32, 32)) * gains[:, None] * gains) ** 2
    order = by_importance(scores)

    def kept(scores):
        blocks = np.sort(scores.reshape(4, 8, 4, 8, 4).sum((2, 4)).ravel())[::-1]
        return blocks[: blocks.size // 10].sum() / blocks.sum()

    assert kept(scores[:, order][:, :, order]) > 1.5 * kept(scores)


def test_gates_count_alike_and_dead_ones_not():
    scores = np.zeros((3, 4, 4))
    scores[0] = np.diag([1.0, 2, 3, 4]) * 1e6
    scores[1] = np.diag([9.0, 1, 1, 1])
    assert by_importance(scores).tolist() == [0, 3, 2, 1]
    assert by_importance(np.zeros((2, 3, 3))).tolist() == [0, 1, 2]


def test_only_the_selected_layers_change():
    model = functional(stacked)
    before, output = model.get_layer("a").cell.recurrent_kernel.numpy(), model(X)
    assert list(ksr.reorder_units(model, "b")) == ["b/gru_cell"]
    np.testing.assert_array_equal(before, model.get_layer("a").cell.recurrent_kernel.numpy())
    np.testing.assert_allclose(output, model(X), rtol=2e-6, atol=2e-6)


def test_states_between_batches_move_along():
    inputs = keras.Input(batch_shape=(6, 4, 5))
    model = randomized(
        keras.Model(inputs, layers.Dense(2)(layers.LSTM(7, stateful=True, name="a")(inputs)))
    )
    model.predict_on_batch(X)
    state = [v.numpy() for v in model.get_layer("a").states]
    expected = model.predict_on_batch(X)
    for variable, value in zip(model.get_layer("a").states, state):
        variable.assign(value)
    ksr.reorder_units(model)
    np.testing.assert_allclose(model.predict_on_batch(X), expected, rtol=2e-6)
