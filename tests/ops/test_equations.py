"""The equations of each cell stand once: what the reference runs is what the export writes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn import layers
from keras_sparse_rnn.export import cells, recurrence
from keras_sparse_rnn.ops import equations

CASES = {
    "simple_rnn": (layers.BlockSparseSimpleRNN, equations.SimpleRNN, {}),
    "lstm": (layers.BlockSparseLSTM, equations.LSTM, {}),
    "gru": (layers.BlockSparseGRU, equations.GRU, {}),
    "gru, no bias": (layers.BlockSparseGRU, equations.GRU, {"use_bias": False}),
    "gru, reset before": (layers.BlockSparseGRU, equations.GRU, {"reset_after": False}),
}


def built(case):
    keras.utils.set_random_seed(0)
    layer = CASES[case][0](
        6,
        (2, 3),
        sparsity=0.5,
        kernel="reference",
        bias_initializer="random_normal",
        **CASES[case][2],
    )
    layer.build((2, 5, 4))
    return layer


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_keras_cell(case):
    layer = built(case)
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(2, 4)), tf.float32)
    states = [
        tf.constant(rng.normal(size=(2, 6)), tf.float32)
        for _ in keras.tree.flatten(layer.cell.state_size)
    ]
    twin = type(layer.cell)(6, **CASES[case][2])
    twin.build((2, 4))
    twin.set_weights(
        [*layer.dense_kernels(), *([layer.bias.numpy()] if layer.bias is not None else [])]
    )
    _, expected = twin(x, states)
    cell = cells.of(layer)
    projected = tf.matmul(x, cell.kernel) + (0 if cell.bias is None else cell.bias)
    for one, other in zip(cell.step(projected, states), keras.tree.flatten(expected)):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_reference_and_the_export_run_the_same_step(case, monkeypatch):
    layer, kind = built(case), CASES[case][1]
    steps, step = [], kind.step

    def spy(self, projected, states):
        steps.append(self)
        return step(self, projected, states)

    monkeypatch.setattr(kind, "step", spy)
    x = tf.ones((2, 5, 4))
    outputs = layer(x)
    assert len(steps) == 5
    options = {"go_backwards": False, "return_sequences": False, "zero_output_for_mask": False}
    states = layer.get_initial_state(2)
    last, _, _ = recurrence.run(cells.of(layer), x, states, None, **options)
    assert len(steps) == 10
    np.testing.assert_allclose(last, outputs, atol=1e-6)


def test_no_activation_is_the_identity():
    cell = equations.SimpleRNN(np.eye(2), np.eye(2), None, None)
    (h,) = cell.step(
        tf.constant([[1.0, -2.0]], tf.float64), [tf.constant([[0.5, 3.0]], tf.float64)]
    )
    np.testing.assert_array_equal(h, [[1.5, 1.0]])


def test_a_map_reaches_every_weight_and_leaves_the_cell_alone():
    cell = equations.GRU(np.ones((2, 6)), np.ones((2, 6)), np.ones((2, 6)), "tanh", "sigmoid", True)
    new = cell.map(lambda weight: 2 * weight)
    for one in (new.kernel, *new.recurrent, new.bias, new.recurrent_bias):
        assert np.all(one == 2)
    for one in (cell.kernel, *cell.recurrent, cell.bias, cell.recurrent_bias):
        assert np.all(one == 1)
