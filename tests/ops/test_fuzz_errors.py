"""Random wrong calls of the ops: each is refused in words, and none crashes."""

import numpy as np
import pytest
import tensorflow as tf
from drawing import examples, problems, shapes, sizes
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import GATES, Problem

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)

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
