"""Threshold ramps: their slopes, from which dense model, and what they ask of each kernel."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn.schedules import ThresholdRamp


@pytest.mark.parametrize(
    ("ratio", "figure"), [(1, 0.78), (1.2, 0.87), (1.5, 1.00), (1.7, 1.09), (2, 1.22)]
)
def test_the_threshold_ends_where_the_paper_says(ratio, figure):
    kernel = np.random.default_rng(0).normal(size=(31, 4 * 17))
    q = np.quantile(np.abs(kernel), 0.9)
    ramp = ThresholdRamp.from_dense(
        {"k": kernel}, 1000, 5000, 10000, ratio=ratio, block_shape=(1, 1), scope="kernel"
    )
    assert ramp(10000)["k"][0] / q == pytest.approx(figure, abs=0.005)
    assert ramp(20000) == ramp(10000)


def test_a_ramp_has_two_pieces():
    ramp = ThresholdRamp(100, 300, 500, start_slope=0.2, ramp_slope=0.5, frequency=10)
    assert ramp(99) == 0.0
    assert ramp(100) == pytest.approx(0.2 / 10)
    assert ramp(250) == pytest.approx(0.2 * 151 / 10)
    assert ramp(300) == pytest.approx((0.2 * 201 + 0.5 * 1) / 10)
    assert ramp(500) == pytest.approx((0.2 * 201 + 0.5 * 201) / 10)


@pytest.mark.parametrize(
    ("block_shape", "factor"),
    [((4, 4), 2.0), ((12, 2), 2.2134), ((8, 8), 2.8284), ((16, 16), 4.0), ((32, 32), 5.6569)],
)
def test_slopes_grow_with_the_fourth_root_of_the_block(block_shape, factor):
    kernel = np.random.default_rng(1).normal(size=(40, 40))
    slope = lambda shape: ThresholdRamp.from_dense(
        [kernel], 0, 10, 30, block_shape=shape
    ).start_slope["0"][0]
    assert slope(block_shape) / slope((1, 1)) == pytest.approx(factor, abs=1e-4)


def test_a_block_that_is_cut_short_by_the_kernel_counts_its_own_weights():
    kernel = np.random.default_rng(1).normal(size=(3, 40))
    slope = lambda shape: ThresholdRamp.from_dense(
        [kernel], 0, 10, 30, block_shape=shape
    ).start_slope["0"][0]
    assert slope((16, 16)) / slope((1, 1)) == pytest.approx(48**0.25)


def test_slopes_are_those_of_each_gate_each_kernel_or_the_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4, 5)), keras.layers.GRU(7, name="g"), keras.layers.Dense(3)]
    )
    cell = model.get_layer("g").cell
    cell.recurrent_kernel.assign(
        np.random.default_rng(0).normal(size=(7, 21)) * np.repeat([1.0, 10.0, 100.0], 7)
    )
    kernels = [np.array(w.numpy()) for w in (cell.kernel, cell.recurrent_kernel)]
    factor = lambda q, size: q * size**0.25 * 2 * 100 / (2 * 100 + 3 * 200)
    build = lambda scope: ThresholdRamp.from_dense(
        model, 100, 200, 400, block_shape=(4, 4), scope=scope, ratio=2
    )

    gate = build("gate")
    assert list(gate.start_slope) == ["g/gru_cell/kernel", "g/gru_cell/recurrent_kernel"]
    expected = [
        factor(np.quantile(np.abs(kernels[1][:, 7 * n : 7 * n + 7]), 0.9), 16) for n in range(3)
    ]
    np.testing.assert_allclose(gate.start_slope["g/gru_cell/recurrent_kernel"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        gate.ramp_slope["g/gru_cell/recurrent_kernel"], 2 * np.array(expected), rtol=1e-6
    )
    kernel = build("kernel")
    np.testing.assert_allclose(
        kernel.start_slope["g/gru_cell/kernel"],
        [factor(np.quantile(np.abs(kernels[0]), 0.9), 16)],
        rtol=1e-6,
    )
    pooled = np.abs(np.concatenate([k.ravel() for k in kernels]))
    assert build("model").start_slope == pytest.approx(
        factor(np.quantile(pooled, 0.9), 16), rel=1e-6
    )


def test_thresholds_find_their_kernels_by_name_or_by_order():
    ramp = ThresholdRamp(
        0, 5, 10, {"a": [0.1, 0.2], "b": 0.3}, {"a": [0.1, 0.2], "b": 0.3}, frequency=1
    )
    by_name = ramp.thresholds(0, ["b", "a"])
    np.testing.assert_allclose(by_name[0], [0.3])
    np.testing.assert_allclose(by_name[1], [0.1, 0.2])
    by_order = ramp.thresholds(0, ["x", "y"])
    np.testing.assert_allclose(by_order[0], [0.1, 0.2])
    np.testing.assert_allclose(by_order[1], [0.3])
    np.testing.assert_allclose(
        ThresholdRamp(0, 5, 10, 2, 2, frequency=4).thresholds(1, ["p", "q"]), [[1.0], [1.0]]
    )
    with pytest.raises(
        ValueError, match=r"`start_slope` must have a slope for each kernel .* Missing: \['c'\]"
    ):
        ramp.thresholds(0, ["a", "c"])


def test_no_gates_are_refused():
    with pytest.raises(ValueError, match="`gates` must be an integer of at least 1. Received: gat"):
        ThresholdRamp.from_dense([np.ones((4, 8))], 0, 5, 10, gates=0)
