"""What is found in the hidden states of a model, against explicit loops and known spaces."""

import keras
import looping
import numpy as np
import pytest
from analyzing import analyze

import keras_sparse_rnn as ksr
from keras_sparse_rnn.geometry.covariance import Covariance
from keras_sparse_rnn.patterns import BlockGrid

LAYERS = {
    "simple_rnn": lambda **options: keras.layers.SimpleRNN(5, **options),
    "lstm": lambda **options: keras.layers.LSTM(5, **options),
    "gru": lambda **options: keras.layers.GRU(5, **options),
    "gru, reset before": lambda **options: keras.layers.GRU(5, reset_after=False, **options),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("share", [0.6, 1.0])
def test_everything_is_what_explicit_loops_make_of_it(kind, share, make_model, x):
    model = make_model(LAYERS[kind](name="rnn", return_sequences=share == 1))
    found = analyze(model, x, share=share, batch_size=3)["rnn"]
    weights = model.get_weights()
    hidden, inputs = looping.states_of(kind, weights, x)
    assert found.count == len(hidden) == 28
    np.testing.assert_allclose(found.mean, hidden.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, looping.covariance(hidden), atol=1e-6)
    np.testing.assert_allclose(found.input_covariance, looping.covariance(inputs), rtol=1e-12)
    variances, directions = looping.leading(looping.covariance(hidden), share)
    assert found.dimensions() == len(variances)
    np.testing.assert_allclose(found.variances[: len(variances)], variances, atol=1e-6)
    np.testing.assert_allclose(found.neurons, directions**2 @ variances, atol=1e-6)
    everything = np.linalg.eigvalsh(looping.covariance(hidden))
    assert found.participation_ratio == pytest.approx(
        everything.sum() ** 2 / (everything**2).sum(), rel=1e-5
    )
    expected = looping.weight_scores(weights[1], None, directions, variances)
    np.testing.assert_allclose(found.weights(), expected, atol=1e-5)
    expected = looping.weight_scores(weights[0], looping.covariance(inputs), directions)
    np.testing.assert_allclose(found.weights("kernel"), expected, atol=1e-5)
    for role, samples, kernel in (
        ("recurrent_kernel", hidden @ directions @ directions.T, weights[1]),
        ("kernel", inputs, weights[0]),
    ):
        grid = BlockGrid(len(kernel), 5, found.gates, (2, 3))
        expected = looping.block_scores(kernel.astype("float64"), samples, directions, (2, 3))
        np.testing.assert_allclose(found.blocks(grid, role), expected, atol=1e-6)
        single = BlockGrid(len(kernel), 5, found.gates, (1, 1))
        np.testing.assert_allclose(
            single.join(found.blocks(single, role)[..., None, None]),
            found.weights(role) ** 2,
            atol=1e-14,
        )
        own = np.pad(
            found.weights(role).reshape(len(kernel), -1, 5), ((0, -len(kernel) % 2), (0, 0), (0, 1))
        )
        own = own.reshape(-1, 2, found.gates, 2, 3)
        np.testing.assert_allclose(
            found.blocks(grid, role, "mean"),
            own.sum(axis=(1, 4)).transpose(1, 2, 0) / grid.elements,
            rtol=1e-12,
        )
        np.testing.assert_allclose(
            found.blocks(grid, role, "l2"),
            (own**2).sum(axis=(1, 4)).transpose(1, 2, 0) / grid.elements,
            rtol=1e-12,
        )
        np.testing.assert_allclose(
            found.blocks(grid, role, kernel=2 * kernel), 4 * found.blocks(grid, role), rtol=1e-12
        )


def test_states_in_a_known_space_are_found_exactly(make_model):
    """A linear layer without recurrence writes 3 inputs of one variance into 3 of 9 directions."""
    model = make_model(keras.layers.SimpleRNN(9, activation="linear", name="rnn"), steps=1)
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(9, 3)))[0]
    model.set_weights([basis.T, np.zeros((9, 9)), np.full(9, 100.0)])
    x = np.concatenate([np.eye(3), -np.eye(3)])[:, None].astype("float32")
    found = analyze(model, x, share=1.0)["rnn"]
    assert [found.dimensions(share) for share in (0.3, 0.6, 0.9, 1.0)] == [1, 2, 3, 3]
    np.testing.assert_allclose(found.projection, basis @ basis.T, atol=1e-4)
    assert found.participation_ratio == pytest.approx(3, rel=1e-4)
    np.testing.assert_allclose(found.neurons, np.sum(basis**2, axis=1) / 3, atol=1e-4)


@pytest.mark.parametrize("kind", ["simple_rnn", "lstm", "gru"])
def test_scores_move_with_the_neurons(kind, make_model, x):
    model = make_model(LAYERS[kind](name="rnn"))
    before = analyze(model, x)["rnn"]
    order = np.array([3, 0, 4, 1, 2])
    columns = np.concatenate([order + 5 * gate for gate in range(before.gates)])
    kernel, recurrent, bias = model.get_weights()
    model.set_weights([kernel[:, columns], recurrent[order][:, columns], bias[..., columns]])
    after = analyze(model, x)["rnn"]
    assert after.dimensions() == before.dimensions()
    np.testing.assert_allclose(after.variances, before.variances, atol=1e-7)
    np.testing.assert_allclose(after.neurons, before.neurons[order], atol=1e-6)
    np.testing.assert_allclose(after.weights(), before.weights()[order][:, columns], atol=1e-5)
    np.testing.assert_allclose(
        after.weights("kernel"), before.weights("kernel")[:, columns], atol=1e-5
    )


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_masks_and_both_directions(run_eagerly, make_model, x):
    mask = np.random.default_rng(2).random((7, 4)) < 0.6
    mask[0] = False
    layer = keras.layers.Bidirectional(keras.layers.GRU(5), name="both")
    model = make_model(keras.layers.Masking(), layer, run_eagerly=run_eagerly)
    x = np.where(mask[..., None], x, 0).astype("float32")
    geometry = analyze(model, x, batch_size=4)
    weights = model.get_weights()
    assert [layer.name for layer in geometry] == ["both/forward_gru", "both/backward_gru"]
    for found, own, backwards in zip(geometry, (weights[:3], weights[3:]), (False, True)):
        hidden, _ = looping.states_of("gru", own, x, mask, backwards)
        assert found.count == mask.sum()
        np.testing.assert_allclose(found.covariance, looping.covariance(hidden), atol=1e-6)


def test_cells_of_a_stack_are_apart(make_model, x):
    cells = [keras.layers.LSTMCell(5, name="first"), keras.layers.GRUCell(4, name="second")]
    model = make_model(keras.layers.RNN(cells, name="stack"))
    before = model(x)
    first, second = analyze(model, x)
    weights = model.get_weights()
    hidden, _ = looping.states_of("lstm", weights[:3], x)
    np.testing.assert_allclose(first.covariance, looping.covariance(hidden), atol=1e-6)
    hidden, inputs = looping.states_of("gru", weights[3:], hidden.reshape(7, 4, 5))
    np.testing.assert_allclose(second.covariance, looping.covariance(hidden), atol=1e-6)
    np.testing.assert_allclose(second.input_covariance, looping.covariance(inputs), atol=1e-6)
    np.testing.assert_array_equal(model(x), before)
    (alone,) = analyze(model, x, "second")
    assert alone.name == second.name == "stack/stacked_rnn_cells/second"
    single = make_model(keras.layers.RNN([keras.layers.SimpleRNNCell(5)], name="single"))
    hidden, _ = looping.states_of("simple_rnn", single.get_weights(), x)
    np.testing.assert_allclose(
        analyze(single, x)[0].covariance, looping.covariance(hidden), atol=1e-6
    )


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_block_sparse_layers_are_like_their_keras_twins(storage, x):
    sparse = ksr.layers.BlockSparseLSTM(10, (4, 4), sparsity=0.5, storage=storage, name="rnn")
    sparse = keras.Sequential(
        [keras.Input((4, 3)), keras.layers.Masking(), keras.layers.Bidirectional(sparse)]
    )
    x[2, 1:] = 0
    for found, expected in zip(analyze(sparse, x), analyze(ksr.to_dense(sparse), x)):
        np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-6)
        np.testing.assert_array_equal(found.recurrent_kernel, expected.recurrent_kernel)
        np.testing.assert_allclose(found.weights(), expected.weights(), atol=1e-5)


class Subclassed(keras.Model):
    """Runs one layer twice, and another in TimeDistributed."""

    def __init__(self):
        super().__init__()
        self.rnn = keras.layers.SimpleRNN(5, return_sequences=True, name="rnn")
        self.inner = keras.layers.TimeDistributed(keras.layers.LSTM(5, name="inner"), name="timed")

    def call(self, inputs):
        x, pictures = inputs["x"], inputs["pictures"]
        return self.rnn(x) + self.rnn(x[:, ::-1]), self.inner(pictures)


def test_subclassed_models_nested_inputs_and_layers_that_are_called_twice(x):
    model = Subclassed()
    pictures = np.random.default_rng(0).normal(size=(7, 2, 4, 3)).astype("float32")
    data = {"x": x, "pictures": pictures}
    model(data)
    rnn, timed = analyze(model, data, batch_size=7)
    hidden, _ = looping.states_of(
        "simple_rnn", model.rnn.get_weights(), np.concatenate([x, x[:, ::-1]])
    )
    np.testing.assert_allclose(rnn.covariance, looping.covariance(hidden), atol=1e-6)
    hidden, _ = looping.states_of("lstm", model.inner.get_weights(), pictures.reshape(14, 4, 3))
    assert timed.name == "timed/inner" and timed.count == 56
    np.testing.assert_allclose(timed.covariance, looping.covariance(hidden), atol=1e-6)


def test_time_distributed_over_any_number_of_steps():
    inputs = keras.Input((None, 4, 3))
    model = keras.Model(
        inputs, keras.layers.TimeDistributed(keras.layers.SimpleRNN(5, name="rnn"))(inputs)
    )
    batches = [
        np.random.default_rng(steps).normal(size=(2, steps, 4, 3)).astype("float32")
        for steps in (2, 3, 4)
    ]
    (found,) = analyze(model, iter(batches))
    hidden, _ = looping.states_of(
        "simple_rnn",
        model.get_weights(),
        np.concatenate([batch.reshape(-1, 4, 3) for batch in batches]),
    )
    np.testing.assert_allclose(found.covariance, looping.covariance(hidden), atol=1e-6)


def test_neurons_that_may_be_dropped(make_model, x):
    """The second and the fifth neuron never vary; the last varies a little."""
    model = make_model(keras.layers.SimpleRNN(7, activation="linear", name="rnn"))
    kernel, recurrent, bias = model.get_weights()
    for matrix in (kernel, recurrent):
        matrix[:, [1, 4]] = 0
    kernel[:, 6], recurrent[:, 6] = 1e-3, 0
    model.set_weights([kernel, recurrent, bias])
    found = analyze(model, x, share=0.99)["rnn"]
    assert set(found.droppable(1e-9)) == {1, 4}
    assert list(found.droppable()[:3]) == [1, 4, 6]
    assert set(found.ranking[-3:]) == {1, 4, 6}
    assert list(found.ranking) == sorted(range(7), key=lambda neuron: -found.neurons[neuron])


def test_a_large_mean_costs_no_precision():
    samples = np.random.default_rng(0).normal(size=(50, 3)) + [1e8, 0, -1e7]
    covariance = Covariance(3)
    for first in (0, 0, 7, 8, 31):
        covariance.add(
            samples[first : {0: 7, 7: 8, 8: 31, 31: 50}[first]]
            if covariance.count or not first
            else samples[:0]
        )
    assert covariance.count == 57
    expected = np.cov(np.concatenate([samples[:7], samples]), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance.matrix, expected, rtol=1e-6, atol=1e-7)


def test_states_that_never_vary_have_no_direction(make_model, x):
    model = make_model(
        keras.layers.SimpleRNN(
            5, name="rnn", kernel_initializer="zeros", recurrent_initializer="zeros"
        )
    )
    found = analyze(model, x)["rnn"]
    assert found.dimensions() == 0 and found.participation_ratio == 0
    np.testing.assert_array_equal(found.weights(), 0)
