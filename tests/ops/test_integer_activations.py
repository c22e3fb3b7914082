"""int8 activations: the plain TensorFlow reference against NumPy in float64, what weights must be
for them, and what is refused.
"""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_cells import product, run, widest_pair
from problems import SHAPES, Problem, random_packed

from keras_sparse_rnn import ops, patterns

CELLS = [
    ("lstm", {}),
    ("gru", {"reset_after": True}),
    ("gru", {"reset_after": False}),
    ("simple_rnn", {"activation": "tanh"}),
    ("simple_rnn", {"activation": "relu"}),
]
cells = pytest.mark.parametrize("cell, options", CELLS, ids=str)


def quantized(packed):
    packed = packed._replace(values=np.asarray(packed.values, np.float32))
    return ops.quantize(packed, "int8", activations="int8")


def call(problem, kernels, input_range=0.0, dtype=tf.float64, kernel="auto", wrap=lambda f: f):
    arrays = {name: array for name, array in problem.arrays.items() if "kernel" not in name}
    bias = arrays.pop("bias", None)
    op = getattr(ops, f"block_sparse_{problem.cell}")

    def forward(*tensors):
        return op(
            *tensors,
            *kernels,
            None if bias is None else tf.constant(bias, dtype),
            mask=problem.mask_array,
            go_backwards=problem.go_backwards,
            kernel=kernel,
            activations="int8",
            input_range=input_range,
            **problem.options,
        )

    return wrap(forward)(*[tf.constant(array, dtype) for array in arrays.values()])


@cells
@pytest.mark.parametrize("input_range", [0.0, 1.5])
@pytest.mark.parametrize("variant", [{}, {"mask": True, "go_backwards": True}, {"bias": False}])
@pytest.mark.quick_cases(6)
def test_cells_compute_what_the_header_says(cell, options, input_range, variant):
    """In float64 no rounding to integers can fall on the other side."""
    for number, (shape, other) in enumerate(zip(SHAPES, SHAPES[3:] + SHAPES[:3])):
        problem = Problem(cell, 2, 4, 13, 19, shape, other, options=options, seed=number, **variant)
        kernels = [quantized(packed) for packed in problem.packed]
        expected = run(problem, kernels, input_range)
        for one, exact in zip(call(problem, kernels, input_range), expected):
            np.testing.assert_allclose(one, exact, rtol=1e-12, atol=1e-12)


@cells
def test_in_float32_a_few_numbers_are_rounded_otherwise(cell, options):
    problem = Problem(cell, 3, 5, 21, 19, options=options)
    kernels = [quantized(packed) for packed in problem.packed]
    for one, exact in zip(call(problem, kernels, dtype=tf.float32), run(problem, kernels, 0.0)):
        assert one.dtype == tf.float32
        np.testing.assert_allclose(one, exact, atol=0.02 * np.abs(exact).max())


@cells
def test_outputs_are_near_those_of_float_activations(cell, options):
    problem = Problem(cell, 3, 5, 40, 33, options=options)
    problem.arrays["h0"] = np.clip(problem.arrays["h0"], -1, 1)
    kernels = [quantized(packed) for packed in problem.packed]
    problem.packed = [ops.dequantize(packed, tf.float64) for packed in kernels]
    for name, packed in zip(("kernel", "recurrent_kernel"), problem.packed):
        problem.arrays[name] = packed.values.numpy()
    exact = problem.run("reference", "float64")[0]
    for input_range in (0.0, float(np.abs(problem.arrays["x"]).max())):
        for one, other in zip(call(problem, kernels, input_range), exact):
            error = np.abs(one - other).max()
            assert 0 < error < 0.03 * np.abs(other).max()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla(jit_compile):
    problem = Problem("gru", 3, 4, mask=True, options={"reset_after": False})
    kernels = [quantized(packed) for packed in problem.packed]
    compiled = call(
        problem,
        kernels,
        kernel="reference",
        wrap=lambda f: tf.function(f, jit_compile=jit_compile),
    )
    for one, other in zip(compiled, run(problem, kernels, 0.0)):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@pytest.mark.parametrize("input_range", [0.0, 2.0])
def test_product(block_shape, input_range):
    packed = quantized(random_packed(np.random.default_rng(0), 37, 41, 3, block_shape, 0.5))
    x = np.random.default_rng(1).normal(size=(2, 3, 37))
    y = ops.block_sparse_matmul(tf.constant(x), packed, activations="int8", input_range=input_range)
    expected = [[product(row, input_range, packed) for row in rows] for rows in x]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_sums_are_exact_where_float32_is_not():
    """3000 products of 127 * 127: more than float32 counts without a gap."""
    grid = patterns.BlockGrid(3000, 1, 1, (2, 1))
    values = np.tile(np.array([[127], [2]], np.float32), (1500, 1, 1))
    values[0, 1] = 1
    packed = ops.PackedKernel(values, np.arange(1500, dtype=np.int32), grid)
    packed = ops.quantize(packed, "int8", activations="int8")
    sums = 127 * (1500 * 127 + 1499 * 2 + 1)
    y = ops.block_sparse_matmul(tf.ones((1, 3000)), packed, activations="int8")
    scale = np.float32(packed.scales.numpy().item()) * (np.float32(1) / np.float32(127))
    assert y.numpy().item() == np.float32(sums) * scale


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    packed = quantized(random_packed(np.random.default_rng(0), 64, 32, 1, (4, 4), 0.5))
    x = tf.cast(np.random.default_rng(1).normal(size=(3, 64)), dtype)
    y = ops.block_sparse_matmul(x, packed, activations="int8", kernel="reference")
    exact = ops.block_sparse_matmul(tf.cast(x, tf.float32), packed, activations="int8")
    np.testing.assert_array_equal(y, tf.cast(exact, dtype))


@pytest.mark.parametrize("input_range", [0.0, 1.0])
def test_what_is_no_number_counts_as_the_least_and_the_largest(input_range):
    packed = quantized(random_packed(np.random.default_rng(0), 5, 4, 1, (1, 4), 1.0))
    x = np.array([[np.nan, 1, -1, 0.5, 0], [np.inf, 1, 2, 3, 4], [0, 0, 0, 0, 0]])
    y = ops.block_sparse_matmul(tf.constant(x), packed, activations="int8", input_range=input_range)
    expected = [product(row, input_range, packed) for row in x]
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    assert not y.numpy()[2].any()


weights = st.floats(-1.0, 1.0, width=32) | st.sampled_from([1.0, 0.51, 0.508, -1.0])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_quantised_pairs_keep_the_bound(data):
    """By an independent look at each pair; and no weight is off by more than one step."""
    draw = data.draw
    inputs, units, gates = (
        draw(st.integers(1, 11)),
        draw(st.integers(1, 21)),
        draw(st.integers(1, 2)),
    )
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 18))
    grid = patterns.BlockGrid(inputs, units, gates, shape)
    live = draw(st.lists(st.integers(0, grid.count - 1), unique=True, max_size=grid.count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    choices = np.array(draw(st.lists(weights, min_size=1, max_size=8)), np.float32)
    kernel = rng.choice(choices, grid.kernel_shape) * draw(st.sampled_from([1.0, 1e-44, 1e30]))
    packed = ops.PackedKernel(
        *grid.pack(kernel.astype(np.float32), np.array(sorted(live), np.int32)), grid
    )
    result = ops.quantize(packed, "int8", activations="int8")
    assert widest_pair(result) <= 129
    assert np.abs(result.values.numpy().astype(int)).max(initial=0) <= 127
    error = np.abs(ops.dequantize(result, tf.float64).values - packed.values.astype(np.float64))
    scales = result.scales.numpy().astype(np.float64).reshape(-1, 1, shape[1])
    assert (error <= scales[packed.blocks // grid.rows] * 1.001 + 1e-38 * 127).all()


def test_a_scale_is_no_larger_than_the_bounds_ask_for():
    grid = patterns.BlockGrid(4, 3, 1, (4, 3))
    kernel = np.array([[1, 1, 0.5], [0, 0.9, -1], [0, 0, 1], [1, -1, -1]], np.float32)
    result = quantized(ops.PackedKernel(kernel[None], np.array([0], np.int32), grid))
    np.testing.assert_allclose(result.scales[0, 0], [1 / 127, 1.9 / 129, 1 / 127], rtol=1e-6)
    assert result.values.numpy()[0].tolist() == [
        [127, 68, 64],
        [0, 61, -127],
        [0, 0, 127],
        [127, -68, -127],
    ]


def test_the_larger_of_two_that_were_rounded_up_gives_way():
    """65.5 and 63.5 of 127.5 steps would be 66 and 64."""
    grid = patterns.BlockGrid(4, 1, 1, (4, 1))
    for sign in (1, -1):
        kernel = sign * np.array([127.0, 0.0, 65.5, 63.5], np.float32).reshape(1, 4, 1)
        result = quantized(ops.PackedKernel(kernel, np.array([0], np.int32), grid))
        assert result.values.numpy().ravel().tolist() == [sign * n for n in (127, 0, 65, 64)]


def test_weights_that_do_not_keep_the_bound_are_refused():
    grid = patterns.BlockGrid(2, 1, 1, (2, 1))
    kernel = ops.PackedKernel(np.ones((1, 2, 1), np.float32), np.array([0], np.int32), grid)
    packed = ops.quantize(kernel, "int8")
    message = (
        "The int8 weights of the kernel must be quantised for int8 activations (the argument "
        "`activations` of `ops.quantize` and `ksr.substitute`), so that the sum of two that are a "
        "pair is from -129 to 129. Received: a pair whose sum is, without its sign, 254"
    )
    how = {"activations": "int8", "kernel": "reference"}
    with pytest.raises(ValueError) as error:
        ops.block_sparse_matmul(tf.ones((1, 2)), packed, **how)
    assert str(error.value) == message
    graph = tf.function(
        lambda values: ops.block_sparse_matmul(
            tf.ones((1, 2)), packed._replace(values=values), **how
        )
    )
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        graph(packed.values)
    assert message in str(error.value)
    assert graph(quantized(kernel).values).shape == (1, 1)


def test_bad_arguments():
    packed = random_packed(np.random.default_rng(0), 8, 8, 1, (4, 4), 0.5)
    packed = packed._replace(values=packed.values.astype(np.float32))
    x = tf.ones((2, 8))
    message = (
        '`activations` must be "float32" where weights are not int8, for integers are multiplied '
        "with integers. Received: activations='int8', weights='{}'"
    )
    for weights in ("float32", "bfloat16"):
        with pytest.raises(ValueError) as error:
            ops.quantize(packed, weights, activations="int8")
        assert str(error.value) == message.format(weights)
        with pytest.raises(ValueError) as error:
            ops.block_sparse_matmul(x, ops.quantize(packed, weights), activations="int8")
        assert str(error.value) == message.format(weights)
    ours = quantized(packed)
    with pytest.raises(ValueError) as error:
        ops.block_sparse_matmul(x, ours, activations="int4")
    assert str(error.value) == (
        "`activations` must be one of 'float32', 'int8'. Received: activations='int4'"
    )
    for wrong in (-1.0, float("nan"), float("inf"), 1e-31, True, "1", None):
        with pytest.raises(ValueError) as error:
            ops.block_sparse_matmul(x, ours, activations="int8", input_range=wrong)
        assert str(error.value) == (
            "`input_range` must be the largest input in absolute value, a number from 1e-30 to "
            f"1e+30; or 0, for that of each step. Received: input_range={wrong!r}"
        )
    with pytest.raises(ValueError) as error:
        ops.block_sparse_matmul(x, ours, input_range=2.0)
    assert str(error.value) == (
        '`input_range` must be 0 without `activations="int8"`, for inputs are not rounded then. '
        "Received: input_range=2.0, activations='float32'"
    )
    gates = quantized(random_packed(np.random.default_rng(0), 8, 8, 3, (4, 4), 0.5))
    with pytest.raises(ValueError) as error:
        ops.block_sparse_matmul(x, gates, activations="int8", kernel="native")
    assert str(error.value) == (
        '`kernel="native"` cannot be had: the native matmul op has int8 activations for 1 gate, '
        'not for 3. `kernel="auto"` would take the reference.'
    )


def test_no_gradient():
    packed = quantized(random_packed(np.random.default_rng(0), 8, 8, 1, (4, 4), 0.5))
    x = tf.Variable(tf.ones((2, 8)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ops.block_sparse_matmul(x, packed, activations="int8"))
    with pytest.raises(LookupError, match="Train the model with float32 weights and quantise it"):
        tape.gradient(loss, x)
