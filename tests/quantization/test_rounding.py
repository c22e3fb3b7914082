"""Values and gradients of rounding to few bits against float64 NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from rounded_by_hand import denoised, difference_quotients, integers_of, step_of

from keras_sparse_rnn import ops
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.quantization import LowPrecision
from keras_sparse_rnn.quantization.rounding import STEPS

GRID = BlockGrid(inputs=11, units=7, gates=2, block_shape=(4, 3))
BLOCKS = np.array([0, 2, 5, 7, 9, 10, 15, 16], np.int32)
BITS = (1, 2, 3, 4, 7, 8)


def random_kernel(seed=0):
    """Dense float64 `[11, 14]`, of which only the blocks `BLOCKS` live; one of their weights is
    zero.
    """
    live = np.zeros(GRID.count, bool)
    live[BLOCKS] = True
    kernel = np.random.default_rng(seed).normal(0.1, 1.0, GRID.kernel_shape)
    kernel[np.unravel_index(np.flatnonzero(GRID.expand(live))[3], kernel.shape)] = 0.0
    return kernel * GRID.expand(live)


def rounded(low, kernel):
    """The dense kernel that a layer computes with, a tensor."""
    packed = ops.PackedKernel(ops.pack(kernel, BLOCKS, GRID), BLOCKS, GRID)
    return ops.dense(low.kernel(packed), tf.float64)


def by_hand(low, constants):
    """A function of a kernel: what it is rounded to, `delta` and steps staying what they are."""

    def function(kernel):
        result = np.zeros_like(kernel)
        for output, (live, delta, step, zero) in enumerate(constants):
            if live.any():
                weights = kernel[live, output]
                result[live, output] = denoised(weights, delta, step, zero, low.form, low.ridge)
        return result

    return function


def constants_of(low, kernel):
    """For each output which inputs live, `delta`, the step, and what 0 stands for."""
    found = []
    for column in kernel.T:
        live = column != 0
        if not live.any():
            found.append((live, None, None, None))
            continue
        step, zero = step_of(column[live], low.weight_bits, low.form, STEPS)
        exact = (column[live] - zero) / step
        integers = integers_of(column[live], low.weight_bits, low.form, step, zero)
        found.append((live, integers - exact, step, zero))
    return found


FORMS = [(bits, form) for bits in BITS for form in ("linear", "affine")]
FORMS.remove((8, "linear"))  # whose steps keep the bound of pairs: below


@pytest.mark.parametrize("bits, form", FORMS)
def test_weights_become_what_the_regression_says(bits, form):
    low, kernel = LowPrecision(bits, form=form, ridge=0.3), random_kernel()
    expected = by_hand(low, constants_of(low, kernel))(kernel)
    assert (expected == 0).sum() == (kernel == 0).sum() or form == "linear"
    np.testing.assert_allclose(rounded(low, tf.constant(kernel)), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bits, form", FORMS)
def test_the_gradient_goes_through_the_regression(bits, form):
    low, kernel = LowPrecision(bits, form=form, ridge=0.3), random_kernel()
    cotangent = np.random.default_rng(1).normal(size=kernel.shape)
    function = by_hand(low, constants_of(low, kernel))
    expected = difference_quotients(lambda one: (cotangent * function(one)).sum(), kernel)
    with tf.GradientTape() as tape:
        variable = tf.constant(kernel)
        tape.watch(variable)
        loss = tf.reduce_sum(cotangent * rounded(low, variable))
    received = tape.gradient(loss, variable).numpy()
    live = kernel != 0
    np.testing.assert_allclose(received[live], expected[live], rtol=1e-6, atol=1e-8)
    assert np.isfinite(received).all()
    if bits < 7:  # straight-through estimation would give the cotangent itself
        assert np.abs(received[live] - cotangent[live]).max() > 0.01


@pytest.mark.parametrize("rows", [4, 1])
def test_8_bits_have_the_integers_of_int8_weights_for_int8_activations(rows):
    grid = BlockGrid(inputs=10, units=32, gates=2, block_shape=(rows, 16))
    blocks = np.array([0, 2, 3, 7], np.int32)
    values = np.random.default_rng(0).normal(size=(4, rows, 16)).astype("float32")
    values = ops.pack(ops.unpack(values, blocks, grid), blocks, grid)
    packed = ops.PackedKernel(values, blocks, grid)
    expected = ops.quantize(packed, "int8", "int8")
    plain = LowPrecision(8, method="straight_through").integers(packed)
    np.testing.assert_array_equal(plain.values, expected.values)
    np.testing.assert_array_equal(plain.scales, expected.scales)
    low = LowPrecision(8, ridge=2.0)
    received = low.integers(packed)
    np.testing.assert_array_equal(received.values, expected.values)
    q = ops.unpack(tf.cast(expected.values, tf.float64), blocks, grid).numpy()
    dense = ops.unpack(tf.cast(values, tf.float64), blocks, grid).numpy()
    scales = (q * dense).sum(0) / ((q * q).sum(0) + 2.0)
    np.testing.assert_allclose(np.ravel(received.scales), scales, rtol=1e-5)
    np.testing.assert_allclose(
        ops.dense(low.kernel(packed), tf.float32), scales * q, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("method", ["denoising", "straight_through"])
@pytest.mark.parametrize("bits", BITS)
def test_integers_and_scales_are_what_a_layer_computes_with_to_the_bit(bits, method):
    low = LowPrecision(bits, method=method)
    kernel = tf.constant(random_kernel().astype("float32"))
    packed = ops.PackedKernel(ops.pack(kernel, BLOCKS, GRID), BLOCKS, GRID)
    integers = low.integers(packed)
    assert np.abs(integers.values).max() == max(2 ** (bits - 1) - 1, 1) or bits == 8
    np.testing.assert_array_equal(
        ops.dense(integers, tf.float32), ops.dense(low.kernel(packed), tf.float32)
    )


@pytest.mark.parametrize("form", ["linear", "affine"])
@pytest.mark.parametrize("bits", [1, 4])
def test_straight_through_has_the_gradient_of_the_float_weights(bits, form):
    low, kernel = LowPrecision(bits, method="straight_through", form=form), random_kernel()
    found = constants_of(low, kernel)
    expected = np.zeros_like(kernel)
    for output, (live, delta, step, zero) in enumerate(found):
        if live.any():
            integers = (kernel[live, output] - zero) / step + delta
            expected[live, output] = integers * step + zero
    cotangent = np.random.default_rng(1).normal(size=kernel.shape)
    with tf.GradientTape() as tape:
        variable = tf.constant(kernel)
        tape.watch(variable)
        values = rounded(low, variable)
        loss = tf.reduce_sum(cotangent * values)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)
    live = np.zeros(GRID.count, bool)
    live[BLOCKS] = True
    np.testing.assert_array_equal(tape.gradient(loss, variable), cotangent * GRID.expand(live))


def test_sparsity_leaves_blocks_out_first_and_regresses_to_all_weights():
    low = LowPrecision(3, ridge=0.0, sparsity=0.75)
    kernel = np.random.default_rng(2).normal(size=GRID.kernel_shape)
    blocks = np.arange(GRID.count, dtype=np.int32)
    with tf.GradientTape() as tape:
        variable = tf.constant(kernel)
        tape.watch(variable)
        packed = ops.PackedKernel(ops.pack(variable, blocks, GRID), blocks, GRID)
        values = ops.dense(low.kernel(packed), tf.float64)
        loss = tf.reduce_sum(values**3)
    largest = np.abs(GRID.pack(kernel, blocks)[0]).max(axis=(1, 2)).reshape(2, -1)
    keep = np.zeros(largest.shape, bool)
    kept = largest.shape[1] - round(0.75 * largest.shape[1])
    for gate, sizes in enumerate(largest):
        keep[gate, np.argsort(-sizes)[:kept]] = True
    keep = GRID.expand(keep.ravel())
    expected = by_hand(low, constants_of(low, kernel * keep))(kernel * keep)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)
    # The surrogate: left-out weights add to both sides of the regression, so they have a gradient.
    steps = [one[2] or np.inf for one in constants_of(low, kernel * keep)]
    integers = np.zeros_like(kernel)
    for output, (live, delta, step, _) in enumerate(constants_of(low, kernel * keep)):
        if live.any():
            integers[live, output] = kernel[live, output] / step + delta

    def surrogate(weights):
        q = integers + (weights - kernel) / steps
        scales = (q * weights).sum(0) / np.maximum((q * q).sum(0), 1e-300)
        return ((scales * q) ** 3).sum()

    quotients = difference_quotients(surrogate, kernel)
    received = tape.gradient(loss, variable).numpy()
    np.testing.assert_allclose(received, quotients, rtol=1e-5, atol=1e-7)
    assert np.abs(received[(keep == 0) & np.isfinite(steps)]).min() > 0


@pytest.mark.parametrize("form", ["linear", "affine"])
@pytest.mark.parametrize("bits", [1, 2, 5])
def test_activations_are_regressed_at_each_step_of_each_sample(bits, form):
    low = LowPrecision(8, bits, form=form, ridge=0.2)
    x = np.random.default_rng(3).normal(0.2, 1.0, (2, 3, 13))
    cotangent = np.random.default_rng(4).normal(size=x.shape)
    constants = {}
    for place in np.ndindex(2, 3):
        step, zero = step_of(x[place], bits, form, STEPS)
        delta = integers_of(x[place], bits, form, step, zero) - (x[place] - zero) / step
        constants[place] = delta, step, zero

    def function(values):
        rows = [denoised(values[place], *constants[place], form, 0.2) for place in constants]
        return np.array(rows).reshape(x.shape)

    with tf.GradientTape() as tape:
        variable = tf.constant(x)
        tape.watch(variable)
        values = low.inputs(variable)
        loss = tf.reduce_sum(cotangent * values)
    np.testing.assert_allclose(values, function(x), rtol=1e-12, atol=1e-14)
    expected = difference_quotients(lambda one: (cotangent * function(one)).sum(), x)
    np.testing.assert_allclose(tape.gradient(loss, variable), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["denoising", "straight_through"])
def test_activations_of_8_bits_are_those_of_the_int8_cells(method):
    x = tf.constant(np.random.default_rng(5).normal(size=(4, 9)).astype("float32"))
    for largest in (0.0, 1.0):
        integers, unit = ops.integer_reference.round_to_integers(x, largest)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = LowPrecision(8, 8, method=method).inputs(x, largest)
        np.testing.assert_array_equal(values, unit * integers)
        assert np.isfinite(tape.gradient(values, x)).all()


@pytest.mark.parametrize("form", ["linear", "affine"])
@pytest.mark.parametrize("bits", BITS)
def test_zeros_stay_zero_with_a_finite_gradient_also_without_a_ridge(bits, form):
    low = LowPrecision(bits, bits, form=form, ridge=0)
    for x in (tf.zeros((2, 5)), tf.ones((2, 5))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = low.inputs(x)
        assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, x)).all()
    kernel = tf.zeros(GRID.kernel_shape, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        values = rounded(low, kernel)
    assert not np.any(values) and not np.any(tape.gradient(values, kernel))


@pytest.mark.parametrize("levels", STEPS)
def test_the_steps_leave_the_least_error_of_normally_distributed_numbers(levels):
    x = np.linspace(-7, 7, 20001)
    weights = np.exp(-(x**2) / 2)

    def error(step):
        middle = (levels - 1) / 2
        q = np.clip(np.round(x / step + middle), 0, levels - 1) - middle
        return np.average((x - step * q) ** 2, weights=weights)

    least = error(STEPS[levels])
    assert least < min(error(1.02 * STEPS[levels]), error(0.98 * STEPS[levels]))


def test_sparsity_leaves_a_block_in_each_gate():
    grid = BlockGrid(inputs=8, units=6, gates=2, block_shape=(4, 3))
    blocks = np.arange(grid.count, dtype=np.int32)
    kernel = tf.constant(np.random.default_rng(2).normal(size=grid.kernel_shape))
    packed = ops.PackedKernel(ops.pack(kernel, blocks, grid), blocks, grid)
    kept = LowPrecision(4, sparsity=0.9).kept(packed).values.numpy()
    live = (kept != 0).any(axis=(1, 2)).reshape(2, -1)
    np.testing.assert_array_equal(live.sum(axis=1), [1, 1])
