"""Models compute the same with their units in another order, train on the same, and say what cannot
be followed.
"""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.reordering import by_importance
from keras_sparse_rnn.reordering.readers import ALIKE_ACTIVATIONS
from keras_sparse_rnn.selection import find_kernels

layers = keras.layers
X = np.random.default_rng(3).normal(size=(6, 4, 5)).astype("float32")
Y = np.random.default_rng(4).normal(size=(6, 2)).astype("float32")


def randomized(model):
    """Biases, gains and running statistics, too, have values that tell an order."""
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def sequential(*inner):
    return randomized(keras.Sequential([keras.Input((4, 5)), *inner]))


def functional(make):
    inputs = keras.Input((4, 5))
    return randomized(keras.Model(inputs, make(inputs)))


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


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, with_momentum, scaled])
def test_training_goes_on_as_if_nothing_had_been(optimizer):
    losses = []
    for reorder in (False, True):
        keras.utils.set_random_seed(1)
        model = sequential(layers.LSTM(7, unroll=True, name="a"), layers.Dense(2))
        model.compile(optimizer(), "mse", run_eagerly=True)
        for _ in range(3):
            model.train_on_batch(X, Y)
        if reorder:
            ksr.reorder_units(model)
        losses.append([float(model.train_on_batch(X, Y)) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


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


def residual(x):
    y = layers.LSTM(5, return_sequences=True, name="a")(x)
    return layers.Dense(2)(layers.Add()([x, y]))


def out(x):
    return layers.LSTM(5, name="a")(x)


def convolved(x):
    return layers.Conv1D(2, 2)(layers.LSTM(5, return_sequences=True, name="a")(x))


def summed(x):
    return layers.Dense(2)(layers.Bidirectional(layers.LSTM(5), merge_mode="sum", name="both")(x))


def encoder(x):
    _, h, c = layers.LSTM(5, return_state=True, name="a")(x)
    return layers.Dense(2)(layers.LSTM(5, name="b")(x, initial_state=[h, c]))


def nested(x):
    inner = keras.Sequential([keras.Input((4, 5)), layers.LSTM(5, name="a")], name="inner")
    return layers.Dense(2)(inner(x))


def shared(x):
    head = layers.Dense(2, name="head")
    return head(layers.LSTM(5, name="a")(x)), head(layers.GRU(5, name="b")(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            residual,
            "the units of a/lstm_cell are read by 'add' (Add), through which they cannot be "
            "followed",
        ),
        (out, "the units of a/lstm_cell are outputs of the model"),
        (
            convolved,
            "the units of a/lstm_cell are read by 'conv1d' (Conv1D), through which they cannot "
            "be followed",
        ),
        (
            summed,
            "the units of both/forward_lstm/lstm_cell are merged by 'both' with merge_mode='sum'",
        ),
        (encoder, "the units of a/lstm_cell are the initial state of 'b'"),
        (
            nested,
            "the units of inner/a/lstm_cell are inside another layer or model, where their "
            "readers cannot be followed",
        ),
        (
            shared,
            "the units of a/lstm_cell are read by head/kernel, which reads something else in "
            "another place",
        ),
    ],
)
def test_what_cannot_be_followed(make, message):
    model = functional(make)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model)
    assert (
        str(error.value)
        == f"`layers` must be layers whose readers can be followed: {message}. Leave this layer "
        "out with `layers`."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def cumulated(values):
    return keras.ops.cumsum(values, axis=-1)


def rolled(values):
    return keras.ops.roll(values, 1, axis=-1)


class Mixing(layers.LSTMCell):
    """A cell whose units are not alike."""

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training=training)
        return keras.ops.cumsum(output, axis=-1), states


class Rolling(layers.Dropout):
    """A layer that is a Dropout by its class alone."""

    def call(self, inputs, training=False):
        return rolled(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: layers.Activation(cumulated, name="act")(layers.LSTM(5, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'cumulated', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.Activation(rolled, name="act")(layers.LSTM(5, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'rolled', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.TimeDistributed(layers.Activation(rolled, name="act"))(
                layers.LSTM(5, return_sequences=True, name="a")(x)
            ),
            "are read by 'act' (Activation) with the activation 'rolled', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.Activation("glu", name="act")(layers.LSTM(6, name="a")(x)),
            "are read by 'act' (Activation) with the activation 'glu', which is not known to "
            "treat all units alike",
        ),
        (
            lambda x: layers.LSTM(5, activation=cumulated, name="a")(x),
            "come from 'lstm_cell' (LSTMCell) with the activation 'cumulated', which is not known "
            "to treat all units alike",
        ),
        (
            lambda x: layers.LSTM(5, recurrent_activation=rolled, name="a")(x),
            "come from 'lstm_cell' (LSTMCell) with the recurrent_activation 'rolled', which is not "
            "known to treat all units alike",
        ),
        (
            lambda x: layers.RNN(Mixing(5, name="lstm_cell"), name="a")(x),
            "come from 'lstm_cell' (Mixing), whose `call` is its own and may not treat all units "
            "alike",
        ),
        (
            lambda x: Rolling(0.5, name="roll")(layers.LSTM(5, name="a")(x)),
            "are read by 'roll' (Rolling), through which they cannot be followed",
        ),
    ],
)
def test_what_does_not_treat_all_units_alike_is_refused(make, message):
    model = functional(lambda x: layers.Dense(2)(make(x)))
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model)
    assert str(error.value) == (
        "`layers` must be layers whose readers can be followed: the units of a/lstm_cell "
        f"{message}. Leave this layer out with `layers`."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("name", [*ALIKE_ACTIVATIONS, None])
def test_activations_that_treat_all_units_alike_are_passed(name):
    def make(x):
        x = layers.GRU(5, activation=name, return_sequences=True)(x)
        return layers.Dense(2)(layers.Activation(name)(layers.LSTM(5, activation=name)(x)))

    model = functional(make)
    before = model.predict(X, verbose=0)
    ksr.reorder_units(model)
    np.testing.assert_allclose(model.predict(X, verbose=0), before, rtol=1e-4, atol=1e-5)


def test_a_model_without_a_graph():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = layers.LSTM(5, name="a")

        def call(self, x):
            return self.rnn(x)

    model = Own()
    model(X)
    with pytest.raises(
        ValueError, match="`model` must be Sequential or functional: .* Received: a Own"
    ):
        ksr.reorder_units(model)
