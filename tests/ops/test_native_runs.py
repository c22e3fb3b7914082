"""That the native op is what runs, that it says why when it cannot, and what it does with numbers
that no kernel has.
"""

import numpy as np
import pytest
import tensorflow as tf
from problems import GATES, Problem, assert_native_is_right

import keras_sparse_rnn.ops.functions as functions
from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)


def ops_of(function, *tensors):
    return {
        op.type
        for op in tf.function(function).get_concrete_function(*tensors).graph.get_operations()
    }


@pytest.mark.parametrize("kernel", ["auto", "native", "reference"])
@pytest.mark.parametrize("cell", GATES)
def test_which_op_runs(cell, kernel):
    problem = Problem(cell)
    tensors = [tf.constant(array, tf.float32) for array in problem.arrays.values()]
    name = "KerasSparseRnn" + "".join(word.capitalize() for word in cell.split("_"))
    assert (name in ops_of(lambda *t: problem.call(t, kernel), *tensors)) == (kernel != "reference")


def test_matmul_runs_natively():
    packed = Problem("lstm").packed[0]
    x = tf.zeros((2, 13))
    assert "KerasSparseRnnMatmul" in ops_of(lambda x: ops.block_sparse_matmul(x, packed), x)
    assert "KerasSparseRnnMatmul" not in ops_of(
        lambda x: ops.block_sparse_matmul(x, packed, kernel="reference"), x
    )


@pytest.mark.parametrize("cell", GATES)
def test_in_a_graph_with_unknown_sizes(cell):
    problem = Problem(cell, 3, 5)
    graph = lambda function: tf.function(
        function,
        input_signature=[
            tf.TensorSpec([None] * (array.ndim - 1) + [array.shape[-1]])
            if name in ("x", "h0", "c0")
            else tf.TensorSpec(array.shape)
            for name, array in problem.arrays.items()
        ],
    )
    actual, gradients = problem.run("native", wrap=graph)
    expected, expected_gradients = problem.run("native")
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)
    for name, other in expected_gradients.items():
        np.testing.assert_array_equal(gradients[name], other)


@pytest.mark.parametrize("cell", GATES)
def test_static_shapes(cell):
    problem = Problem(cell, 3, 5)
    specs = [tf.TensorSpec(array.shape) for array in problem.arrays.values()]
    outputs = (
        tf.function(lambda *t: problem.call(t, "native"))
        .get_concrete_function(*specs)
        .output_shapes
    )
    assert [shape.as_list() for shape in outputs] == [[3, 5, 11]] + [[3, 11]] * (len(outputs) - 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    problem = Problem("lstm")
    outputs, gradients = problem.run("native", dtype)
    expected, expected_gradients = problem.run("native")
    assert outputs[0].dtype == dtype
    np.testing.assert_allclose(outputs[0].astype("float32"), expected[0], atol=0.02)
    np.testing.assert_allclose(
        gradients["x"].astype("float32"),
        expected_gradients["x"],
        atol=0.1 * np.abs(expected_gradients["x"]).max(),
    )


def test_why_not_native():
    assert ops.why_not_native("lstm") is None
    assert ops.why_not_native("simple_rnn", activation="relu") is None
    assert (
        ops.why_not_native("lstm", activation="relu")
        == "the native lstm op knows activation 'tanh', not 'relu'"
    )
    custom = ops.why_not_native("gru", recurrent_activation=lambda x: x)
    assert custom.startswith(
        "the native gru op knows recurrent_activation 'sigmoid', not <function"
    )
    assert (
        ops.why_not_native("matmul", dtype="float64")
        == "the native ops compute float32, float16, bfloat16, not float64"
    )


def test_native_says_why_it_cannot_and_auto_falls_back():
    problem = Problem("simple_rnn", options={"activation": "sigmoid"})
    with pytest.raises(
        ValueError,
        match=(
            '^`kernel="native"` cannot be had: the native simple_rnn op knows activation '
            "'tanh' and 'relu', not"
        ),
    ):
        problem.run("native")
    np.testing.assert_array_equal(problem.run("auto")[0][0], problem.run("reference")[0][0])


def test_under_xla_auto_takes_the_reference():
    problem = Problem("lstm", 3, 4)
    compiled = lambda function: tf.function(function, jit_compile=True)
    outputs, gradients = problem.run("auto", wrap=compiled)
    expected, expected_gradients = problem.run("reference", "float64")
    np.testing.assert_allclose(outputs[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(gradients["kernel"], expected_gradients["kernel"], atol=1e-4)
    with pytest.raises(
        ValueError, match="no XLA kernel, and this function is compiled with jit_compile=True"
    ):
        problem.run("native", wrap=compiled)


def test_on_a_gpu_auto_takes_the_reference(monkeypatch):
    monkeypatch.setattr(functions.tf.config, "list_physical_devices", lambda kind: ["/gpu:0"])
    problem = Problem("gru")
    tensors = [tf.constant(array, tf.float32) for array in problem.arrays.values()]
    assert "KerasSparseRnnGru" not in ops_of(lambda *t: problem.call(t, "auto"), *tensors)
    assert "KerasSparseRnnGru" in ops_of(lambda *t: problem.call(t, "native"), *tensors)


def test_no_second_derivatives():
    problem = Problem("gru")
    x = tf.constant(problem.arrays["x"], tf.float32)
    rest = [tf.constant(array, tf.float32) for array in list(problem.arrays.values())[1:]]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(problem.call([x, *rest], "native")[0])
        gradient = inner.gradient(loss, x)
    with pytest.raises(Exception, match='Use kernel="reference"'):
        outer.gradient(gradient, x)


BAD_BLOCKS = [
    ([0, 1, 999], r"\[2\] = 999 after 1"),
    ([-1, 1, 2], r"\[0\] = -1"),
    ([0, 2, 1], r"\[2\] = 1 after 2"),
    ([0, 1, 1], r"\[2\] = 1 after 1"),
    ([0, 1, 2**31 - 1], r"\[2\] = 2147483647 after 1"),
]


@pytest.mark.parametrize("blocks, words", BAD_BLOCKS)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("cell", GATES)
def test_bad_block_numbers(cell, which, blocks, words):
    problem = Problem(cell)
    packed = list(problem.packed)
    packed[which] = packed[which]._replace(blocks=np.array(blocks, np.int32))
    problem.packed = packed
    name = ("kernel", "recurrent_kernel")[which]
    problem.arrays[name] = problem.arrays[name][:3]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="_blocks` must be ascending block numbers .*" + words
    ):
        problem.run("native")


@pytest.mark.parametrize("blocks, words", BAD_BLOCKS)
def test_bad_block_numbers_in_a_product(blocks, words):
    packed = ops.PackedKernel(
        np.zeros((3, 4, 4), np.float32), np.array(blocks, np.int32), Problem("lstm").packed[0].grid
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="from 0 to 47 without|from 0 to 47.*" + words
    ):
        ops.block_sparse_matmul(tf.zeros((2, 13)), packed, kernel="native")


def test_shapes_that_disagree():
    """Checked in Python where they are known, and in the op where they are not."""
    problem = Problem("lstm")
    problem.arrays["x"] = problem.arrays["x"][..., :-1]
    with pytest.raises(
        ValueError,
        match=r"`x` must have the shape \[\?, \?, 13\]. Received: x of shape \(3, 7, 12\)",
    ):
        problem.run("native")
    problem = Problem("lstm")
    problem.arrays["c0"] = problem.arrays["c0"][:2]
    with pytest.raises(
        ValueError, match=r"`c0` must have the shape \[3, 11\]. Received: c0 of shape \(2, 11\)"
    ):
        problem.run("native")
    problem = Problem("lstm", mask=True)
    specs = [
        tf.TensorSpec(
            [None, None, 13] if name == "x" else [None, 11] if name in ("h0", "c0") else array.shape
        )
        for name, array in problem.arrays.items()
    ]
    graph = tf.function(lambda *tensors: problem.call(tensors, "native"), input_signature=specs)
    tensors = [tf.constant(array, tf.float32) for array in problem.arrays.values()]
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"`h0` must be float32 of shape \[3, \?\]. Received: shape \[2, 11\]",
    ):
        graph(tensors[0], tensors[1][:2], *tensors[2:])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"`mask` must be bool of shape \[3, 6\]"
    ):
        graph(tensors[0][:, :6], *tensors[1:])


def test_grids_that_do_not_fit_a_cell():
    problem = Problem("lstm")
    problem.packed = problem.packed[0], Problem("gru").packed[1]
    with pytest.raises(
        ValueError, match="^`packed` and `recurrent_packed` of a lstm must have grids of 4 gates"
    ):
        problem.run("native")


def test_callables_of_keras_count_as_names():
    import keras

    problem = Problem("simple_rnn", options={"activation": keras.activations.relu})
    assert ops.why_not_native("simple_rnn", activation=keras.activations.relu) is None
    assert_native_is_right(problem)
