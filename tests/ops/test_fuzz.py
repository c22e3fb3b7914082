"""Random calls of the ops, right ones against the plain-TF reference and wrong ones for their
errors. The same calls every time; to search on, raise `max_examples` and set `derandomize=False`.
"""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from problems import GATES, SHAPES, Problem, assert_close, random_packed
from test_native_cells import VARIANTS

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)

LOOSE = 300  # epsilons: gradients through many steps end up far smaller than what they went through
STRANGE = (np.nan, np.inf, -np.inf)


def examples(count):
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


sizes = st.one_of(st.integers(1, 9), st.integers(10, 40))
shapes = st.one_of(st.sampled_from(SHAPES), st.tuples(st.integers(1, 20), st.integers(1, 20)))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@st.composite
def problems(
    draw,
    densities=densities,
    batches=st.sampled_from([0, 1, 2, 3, 5, 7, 8, 16, 17, 33]),
    times=st.integers(0, 6),
):
    cell, options = draw(st.sampled_from(VARIANTS))
    return Problem(
        cell,
        draw(batches),
        draw(times),
        draw(sizes),
        draw(sizes),
        draw(shapes),
        draw(shapes),
        draw(densities),
        bias=draw(st.booleans()),
        mask=draw(st.booleans()),
        go_backwards=draw(st.booleans()),
        training=draw(st.booleans()),
        options=options,
        seed=draw(st.integers(0, 2**32 - 1)),
    )


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


BLOCK_FAULTS = {
    "negative": lambda blocks, at, count: np.concatenate([[-1], blocks[1:]]),
    "too large": lambda blocks, at, count: np.concatenate([blocks[:-1], [count]]),
    "doubled": lambda blocks, at, count: (
        np.insert(blocks, at, blocks[at])[: len(blocks)]
        if at + 1 < len(blocks)
        else blocks[[0] * len(blocks)]
    ),
    "unsorted": lambda blocks, at, count: blocks[::-1],
}


@examples(100)
@given(
    problem=problems(st.just(1.0)),
    which=st.integers(0, 1),
    fault=st.sampled_from(sorted(BLOCK_FAULTS)),
    data=st.data(),
)
def test_bad_block_numbers(problem, which, fault, data):
    packed = list(problem.packed)
    blocks = packed[which].blocks
    at = data.draw(st.integers(0, len(blocks) - 1))
    bad = BLOCK_FAULTS[fault](blocks, at, packed[which].grid.count).astype(np.int32)
    assume((bad != blocks).any())  # a single block can be neither doubled nor unsorted
    packed[which] = packed[which]._replace(blocks=bad)
    problem.packed = packed
    name = ("kernel_blocks", "recurrent_kernel_blocks")[which]
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=f"^.*`{name}` must be ascending block numbers without repetition, from 0 to",
    ):
        problem.run("native")


@examples(100)
@given(
    problem=problems(st.just(0.5), st.sampled_from([1, 2, 9]), st.integers(1, 4)), data=st.data()
)
def test_shapes_that_disagree(problem, data):
    """Known ones are refused in Python, unknown ones by the op; either names the argument, or the
    one that it disagrees with.
    """
    name = data.draw(st.sampled_from(sorted(problem.arrays)))
    array = problem.arrays[name]
    axis = data.draw(st.integers(0, array.ndim - 1))
    assume(problem.mask or (name, axis) != ("x", 1))  # any number of steps is right then
    size = data.draw(
        st.sampled_from(
            [
                size
                for size in (0, array.shape[axis] - 1, array.shape[axis] + 1, 50)
                if 0 <= size != array.shape[axis]
            ]
        )
    )
    problem.arrays[name] = wrong = np.resize(
        array, (*array.shape[:axis], size, *array.shape[axis + 1 :])
    ).astype(np.float32)
    dynamic = data.draw(st.booleans())
    specs = [
        tf.TensorSpec([None] * a.ndim if dynamic else a.shape) for a in problem.arrays.values()
    ]
    graph = tf.function(lambda *tensors: problem.call(tensors, "native"), input_signature=specs)
    tensors = [tf.constant(a, tf.float32) for a in problem.arrays.values()]
    if name == "bias" and not wrong.size and dynamic:
        graph(*tensors)  # an empty bias is none
        return
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as error:
        graph(*tensors)
    message = str(error.value)
    assert "must" in message and "`" in message, message


@st.composite
def raw_calls(draw):
    """An op of the library, its name, its right arguments as tensors by name, and its
    attributes.
    """
    library = ops.loader.library()
    kind = draw(st.sampled_from([*GATES, "matmul"]))
    backward = draw(st.booleans())
    problem = Problem(
        kind if kind in GATES else "simple_rnn",
        3,
        4,
        draw(sizes),
        draw(sizes),
        draw(shapes),
        draw(shapes),
        mask=True,
    )
    tensors = {name: tf.constant(array, tf.float32) for name, array in problem.arrays.items()}
    packed, recurrent = problem.packed
    none = tf.zeros((0,))
    kernel = {"kernel_values": tensors.pop("kernel"), "kernel_blocks": tf.constant(packed.blocks)}
    if kind == "matmul":
        x, units = tensors["x"][:, 0], packed.grid.units
        arguments = {
            "x": x,
            **kernel,
            **({"dy": tf.ones((3, units))} if backward else {"kernel_scales": none}),
        }
        attributes = {"units": units, "gates": 1}
    else:
        bias = tensors.pop("bias")
        kernel |= {
            "recurrent_values": tensors.pop("recurrent_kernel"),
            "recurrent_blocks": tf.constant(recurrent.blocks),
        }
        arguments = {**tensors, **kernel, "bias": bias, "mask": tf.constant(problem.mask_array)}
        attributes = {"go_backwards": draw(st.booleans()), "keep": draw(st.booleans())}
        attributes |= {"simple_rnn": {"relu": False}, "lstm": {}, "gru": {"reset_after": True}}[
            kind
        ]
        if backward:
            names = ("d_outputs", "d_h", "d_c")
            arguments |= {
                "reserve": none,
                **{name: tf.constant(c, tf.float32) for name, c in zip(names, problem.cotangents)},
            }
        else:
            arguments |= {"kernel_scales": none, "recurrent_scales": none}
    return (
        getattr(library, f"keras_sparse_rnn_{kind}" + ("_grad" if backward else "")),
        arguments,
        attributes,
    )


@examples(500)
@given(call=raw_calls(), data=st.data())
def test_wrong_tensors_never_crash(call, data):
    """The ops themselves, past the checks in Python, with one argument of a wrong shape or with
    wrong numbers.
    """
    op, arguments, attributes = call
    name = data.draw(st.sampled_from(sorted(arguments)))
    tensor = arguments[name]
    shape = list(tensor.shape)
    fault = data.draw(st.sampled_from(["add axis", "drop axis", "empty", "resize"]))
    axis = data.draw(st.integers(0, max(0, len(shape) - 1)))
    if fault == "add axis":
        shape.insert(axis, data.draw(st.integers(0, 3)))
    elif shape and fault == "drop axis":
        del shape[axis]
    elif shape:
        shape[axis] = 0 if fault == "empty" else data.draw(st.integers(1, 60))
    arguments[name] = tf.constant(np.resize(tensor.numpy(), shape), tensor.dtype, shape)
    try:
        op(**arguments, **attributes)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        assert "must" in str(error), error
