"""Weights of bfloat16 and int8: the native ops against float64 on the very weights that the bytes
stand for, and how far those are from the float ones.
"""

import numpy as np
import pytest
import tensorflow as tf
from problems import EPSILON, SHAPES, Problem, assert_close, random_packed

from keras_sparse_rnn import ops, patterns

TYPES = ["bfloat16", "int8"]
types = pytest.mark.parametrize("weights", TYPES)
CELLS = [
    ("lstm", {}),
    ("gru", {"reset_after": True}),
    ("gru", {"reset_after": False}),
    ("simple_rnn", {"activation": "relu"}),
]
native = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)


def float_packed(*arguments):
    packed = random_packed(np.random.default_rng(0), *arguments)
    return packed._replace(values=packed.values.astype(np.float32))


def quantized_problem(problem, weights):
    """Quantises the kernels of `problem` and makes their dequantised values its float64 ones;
    returns the quantised kernels.
    """
    quantized = [ops.quantize(packed, weights) for packed in problem.packed]
    exact = [ops.dequantize(packed, tf.float64) for packed in quantized]
    problem.packed = exact
    problem.arrays["kernel"], problem.arrays["recurrent_kernel"] = (
        packed.values.numpy() for packed in exact
    )
    return quantized


def run(problem, quantized, kernel="native"):
    inputs = {
        name: tf.convert_to_tensor(array, tf.float32)
        for name, array in problem.arrays.items()
        if "kernel" not in name
    }
    bias = inputs.pop("bias", None)
    op = getattr(ops, f"block_sparse_{problem.cell}")
    return op(
        *inputs.values(),
        *quantized,
        bias,
        mask=problem.mask_array,
        kernel=kernel,
        training=problem.training,
        **problem.options,
    )


@native
@types
@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("block_shape", [*SHAPES, (16, 1), (40, 40)], ids=str)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 33])
def test_product(block_shape, rows, weights):
    packed = ops.quantize(float_packed(37, 41, 3, block_shape, 0.5), weights)
    x = np.random.default_rng(1).normal(size=(rows, 37))
    y = ops.block_sparse_matmul(tf.constant(x, tf.float32), packed, kernel="native")
    exact = ops.dequantize(packed, tf.float64)
    assert_close(y.numpy(), x @ packed.grid.unpack(exact.values.numpy(), packed.blocks), "y")


@native
@types
@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("cell, options", CELLS, ids=str)
@pytest.mark.parametrize(
    "batch, time",
    [(1, 3), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((3, 1), (5, 7))), (17, 3)],
)
@pytest.mark.quick_cases(5)
def test_cells(cell, options, batch, time, weights):
    for block_shape, other in zip(SHAPES, SHAPES[3:] + SHAPES[:3]):
        problem = Problem(cell, batch, time, 21, 19, block_shape, other, mask=True, options=options)
        outputs = run(problem, quantized_problem(problem, weights))
        expected, _ = problem.run("reference", "float64")
        for index, (one, exact) in enumerate(zip(outputs, expected)):
            assert_close(one.numpy(), exact, f"output {index}")


@types
def test_reference_and_auto(weights):
    problem = Problem("gru", 2, 3)
    quantized = quantized_problem(problem, weights)
    for kernel in ("reference", "auto"):
        for one, exact in zip(
            run(problem, quantized, kernel), problem.run("reference", "float64")[0]
        ):
            assert_close(one.numpy(), exact, kernel)


@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
def test_how_near_quantized_weights_are(block_shape):
    packed = float_packed(37, 41, 3, block_shape, 0.5)
    error = lambda weights: np.abs(
        ops.dequantize(ops.quantize(packed, weights)).values - packed.values
    )
    assert (error("bfloat16") <= 2.0**-8 * np.abs(packed.values)).all()
    quantized = ops.quantize(packed, "int8")
    assert quantized.scales.shape == (3, packed.grid.columns, block_shape[1])
    scales = quantized.scales.numpy().reshape(-1, 1, block_shape[1])[
        packed.blocks // packed.grid.rows
    ]
    assert (error("int8") <= scales * (0.5 + 128 * EPSILON)).all()
    assert np.abs(quantized.values).max(initial=0) in (0, 127)
    # Each scale is that of the largest weight of its output.
    dense = np.abs(packed.grid.unpack(packed.values, packed.blocks)).max(0).reshape(3, 41)
    padded = quantized.scales.numpy().reshape(3, -1)
    np.testing.assert_allclose(padded[:, :41], dense / 127, rtol=1e-6)
    assert not padded[:, 41:].any()


def test_dead_kernels():
    packed = ops.quantize(float_packed(8, 8, 1, (4, 4), 0.0), "int8")
    assert packed.values.shape == (0, 4, 4) and not packed.scales.numpy().any()
    zeros = ops.quantize(
        packed._replace(values=tf.zeros((1, 4, 4)), blocks=np.array([2], np.int32), scales=None),
        "int8",
    )
    assert not zeros.values.numpy().any()
    assert not ops.block_sparse_matmul(tf.ones((2, 8)), zeros).numpy().any()


@types
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_no_gradient(weights, kernel):
    problem = Problem("lstm")
    quantized = quantized_problem(problem, weights)
    problem.arrays["x"] = tf.Variable(problem.arrays["x"], dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(run(problem, quantized, kernel)[0])
    with pytest.raises(
        LookupError, match="Train the model with float32 weights and quantise it afterwards"
    ):
        tape.gradient(loss, problem.arrays["x"])


def test_bad_arguments():
    packed = float_packed(8, 8, 1, (4, 4), 0.5)
    with pytest.raises(
        ValueError,
        match="`weights` must be one of 'float32', 'bfloat16', 'int8'. Received: weights='int4'",
    ):
        ops.quantize(packed, "int4")
    quantized = ops.quantize(packed, "int8")
    with pytest.raises(
        ValueError,
        match="`packed` must have float values, not quantised ones. Received: values of int8",
    ):
        ops.quantize(quantized, "int8")
    x = tf.ones((2, 8))
    for wrong in (quantized._replace(scales=None), packed._replace(scales=quantized.scales)):
        with pytest.raises(
            ValueError, match="`packed.scales` must be there for int8 values, and for no others"
        ):
            ops.block_sparse_matmul(x, wrong)
    with pytest.raises(
        ValueError,
        match=(
            r"`packed.scales` must have the shape \[1, 2, 4\]. Received: "
            r"packed.scales of shape \(2, 4\)"
        ),
    ):
        ops.block_sparse_matmul(x, quantized._replace(scales=quantized.scales[0]))
    problem = Problem("gru")
    mixed = [ops.quantize(problem.packed[0], "int8"), problem.packed[1]]
    with pytest.raises(
        ValueError,
        match=(
            "The weights of both kernels must be of one type. Received: {'packed': 'int8', "
            "'recurrent_packed': 'float32'}"
        ),
    ):
        run(problem, mixed)


@native
def test_scales_that_only_the_op_can_check():
    packed = ops.quantize(float_packed(8, 8, 1, (4, 4), 0.5), "int8")
    graph = tf.function(
        lambda scales: ops.block_sparse_matmul(
            tf.ones((2, 8)), packed._replace(scales=scales), kernel="native"
        ),
        input_signature=[tf.TensorSpec(None)],
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`kernel_scales` must be float32 of shape \[1, 2, 4\]. Received: shape \[1, 2, 3\]",
    ):
        graph(tf.ones((1, 2, 3)))


def test_patterns_are_kept():
    """Quantising touches values only."""
    packed = float_packed(8, 8, 1, (4, 4), 0.5)
    for weights in ("float32", *TYPES):
        quantized = ops.quantize(packed, weights)
        assert quantized.blocks is packed.blocks and quantized.grid is packed.grid
        assert quantized.values.dtype == weights
    assert isinstance(packed.grid, patterns.BlockGrid)
