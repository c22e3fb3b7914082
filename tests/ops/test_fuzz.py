"""Random calls of the ops against the plain-TF reference."""

import numpy as np
import pytest
import tensorflow as tf
from drawing import densities, examples, problems, shapes, sizes
from hypothesis import given
from hypothesis import strategies as st
from problems import Problem, assert_close, random_packed
from test_native_cells import VARIANTS

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)

LOOSE = 300  # epsilons: gradients through many steps end up far smaller than what they went through
STRANGE = (np.nan, np.inf, -np.inf)


@examples(150)
@given(problem=problems())
def test_outputs_and_gradients(problem):
    outputs, gradients = problem.run("native")
    expected, expected_gradients = problem.run("reference", "float64")
    for index, other in enumerate(expected):
        assert_close(outputs[index], other, f"output {index}", LOOSE)
    for name, other in expected_gradients.items():
        assert_close(gradients[name], other, f"gradient of {name}", LOOSE)


@examples(60)
@given(problem=problems(), dtype=st.sampled_from(["float16", "bfloat16"]))
def test_outputs_and_gradients_in_half_precision(problem, dtype):
    """As exact as the dtype of the results: rounded to it once, from numbers that are exact in
    it.
    """
    rounded = tf.as_dtype(dtype).as_numpy_dtype
    problem.arrays = {
        name: array.astype(rounded).astype(np.float64) for name, array in problem.arrays.items()
    }
    problem.cotangents = [array.astype(rounded).astype(np.float64) for array in problem.cotangents]
    outputs, gradients = problem.run("native", dtype)
    expected, expected_gradients = problem.run("reference", "float64")
    epsilons = (
        2
        * float(np.finfo(rounded).eps if dtype == "float16" else 2.0**-7)
        / np.finfo(np.float32).eps
    )
    for index, (actual, other) in enumerate(zip(outputs, expected)):
        assert_close(actual.astype(np.float64), other, f"output {index}", epsilons)
    for name, other in expected_gradients.items():
        assert_close(gradients[name].astype(np.float64), other, f"gradient of {name}", epsilons)


@examples(60)
@given(problem=problems(), weights=st.sampled_from(["bfloat16", "int8"]))
def test_quantised_weights(problem, weights):
    """The native op computes with the very numbers that the quantised weights stand for."""
    problem.packed = [
        ops.quantize(packed._replace(values=packed.values.astype(np.float32)), weights)
        for packed in problem.packed
    ]
    quantised = {"kernel": problem.packed[0].values, "recurrent_kernel": problem.packed[1].values}

    def run(kernel, dtype):
        return problem.call(
            [
                quantised.get(name, tf.constant(array, dtype))
                for name, array in problem.arrays.items()
            ],
            kernel,
        )

    for index, (actual, expected) in enumerate(
        zip(run("native", "float32"), run("reference", "float64"))
    ):
        assert_close(actual.numpy(), expected.numpy(), f"output {index}")


@examples(60)
@given(
    leading=st.lists(st.integers(0, 6), max_size=3),
    inputs=sizes,
    units=sizes,
    gates=st.integers(1, 4),
    shape=shapes,
    density=densities,
    seed=st.integers(0, 2**32 - 1),
)
def test_product(leading, inputs, units, gates, shape, density, seed):
    rng = np.random.default_rng(seed)
    packed = random_packed(rng, inputs, units, gates, shape, density)
    arrays = rng.normal(size=(*leading, inputs)), packed.values
    dy = rng.normal(size=(*leading, gates * units))

    def run(kernel, dtype):
        x, values = (tf.constant(array, dtype) for array in arrays)
        with tf.GradientTape() as tape:
            tape.watch([x, values])
            y = ops.block_sparse_matmul(x, packed._replace(values=values), kernel=kernel)
            loss = tf.reduce_sum(y * tf.constant(dy, dtype))
        return [y, *tape.gradient(loss, [x, values])]

    for name, actual, expected in zip(
        ("y", "dx", "d_values"), run("native", "float32"), run("reference", "float64")
    ):
        assert_close(actual.numpy(), expected.numpy(), name)


@examples(100)
@given(
    problem=problems(st.just(1.0), st.sampled_from([1, 2, 3, 7, 9, 17]), st.integers(1, 5)),
    data=st.data(),
)
def test_nan_and_infinity_pass_as_in_a_dense_kernel(problem, data):
    """Where all blocks live, whichever input they are in, they reach the outputs that they reach in
    a dense kernel.
    """
    problem.training = True
    name = data.draw(st.sampled_from(sorted(problem.arrays)))
    array = problem.arrays[name]
    live = np.flatnonzero(array)  # not the padding of partial blocks, which must stay zero
    array.flat[data.draw(st.sampled_from(live))] = data.draw(st.sampled_from(STRANGE))
    outputs, gradients = problem.run("native")
    expected, expected_gradients = problem.run("reference")
    for actual, other in zip(outputs, expected):
        np.testing.assert_allclose(actual, other, rtol=1e-3, atol=1e-4)
    if not problem.mask:
        for name, other in expected_gradients.items():
            assert (np.isnan(gradients[name]) <= np.isnan(other)).all(), name


@pytest.mark.parametrize("batch", [3, 16, 17])
@pytest.mark.parametrize("cell, options", VARIANTS, ids=str)
def test_an_infinite_weight_spoils_no_gradient_that_it_spares_in_a_dense_kernel(
    cell, options, batch
):
    """The vectors that hold samples are not full: zeros in the rest, times infinity, are NaN, and
    gradients of weights are sums over all lanes.
    """
    problem = Problem(cell, batch, 3, 5, 6, density=1.0, options=options)
    problem.arrays["kernel"][0, 0, 3] = np.inf
    _, gradients = problem.run("native")
    _, expected = problem.run("reference")
    for name in gradients:
        np.testing.assert_array_equal(np.isnan(gradients[name]), np.isnan(expected[name]), name)


def test_dead_blocks_pass_nothing_on():
    """A dense kernel makes NaN of NaN, or of infinity, times a zero weight. A dead block is not
    multiplied at all.
    """
    packed = ops.PackedKernel(np.ones((1, 4, 4), np.float32), [0], Problem("lstm").packed[0].grid)
    for strange in STRANGE:
        x = np.ones((17, 13), np.float32)
        x[:, 5] = strange  # meets dead blocks only
        y = ops.block_sparse_matmul(x, packed, kernel="native").numpy()
        assert (y[:, :4] == 4).all() and not y[:, 4:].any()
        x[:, 3] = strange
        y = ops.block_sparse_matmul(x, packed, kernel="native").numpy()
        np.testing.assert_array_equal(y[:, :4], strange * np.ones((17, 4)))
        assert not y[:, 4:].any()
