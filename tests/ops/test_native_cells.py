"""The native recurrent ops against the plain-TF reference in float64: outputs, last states and the
gradient of every input.
"""

import numpy as np
import pytest
import tensorflow as tf
from problems import SHAPES, Problem, assert_native_is_right

from keras_sparse_rnn import ops

every_cpu, cpu = (pytest.mark.usefixtures(name) for name in ("every_cpu", "cpu"))

VARIANTS = [
    ("lstm", {}),
    ("gru", {"reset_after": True}),
    ("gru", {"reset_after": False}),
    ("simple_rnn", {"activation": "tanh"}),
    ("simple_rnn", {"activation": "relu"}),
]
variants = pytest.mark.parametrize(
    "cell, options",
    VARIANTS,
    ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else v,
)


@variants
@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@every_cpu
@pytest.mark.quick_cases(40)
def test_every_block_shape(cell, options, block_shape):
    """Each shape once in either kernel, beside another one, so that the two kernels are padded
    differently.
    """
    other = SHAPES[(SHAPES.index(block_shape) + 3) % len(SHAPES)]
    problem = Problem(cell, 9, 3, 37, 41, block_shape, other, mask=True, options=options)
    assert_native_is_right(problem)
    assert_native_is_right(
        Problem(cell, 2, 3, 37, 41, other, block_shape, training=False, options=options)
    )


@variants
@pytest.mark.parametrize("batch", [1, 3, 7, 8, 17, 33])
@pytest.mark.parametrize("time", [1, 2, pytest.param(7, marks=pytest.mark.slow)])
@cpu
def test_every_size(cell, options, batch, time):
    assert_native_is_right(Problem(cell, batch, time, 5, 19, (8, 8), (16, 16), options=options))
    assert_native_is_right(
        Problem(cell, batch, time, 19, 5, (3, 5), (4, 4), training=False, options=options)
    )


@variants
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("bias", [False, True])
@cpu
def test_every_density(cell, options, density, bias):
    """No live block at all, mostly empty rows and columns, and all alive."""
    for batch in (1, 17):
        assert_native_is_right(
            Problem(cell, batch, 3, 21, 23, (4, 4), (8, 8), density, bias, options=options)
        )


@variants
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [3, 17])
@cpu
def test_masks(cell, options, go_backwards, training, batch):
    """Gaps at random, a sample that counts from its third step, one that ends early, one that never
    counts.
    """
    problem = Problem(
        cell,
        batch,
        6,
        mask=True,
        go_backwards=go_backwards,
        training=training,
        options=options,
        seed=batch,
    )
    problem.mask_array[0] = [False, False, True, False, True, True]
    problem.mask_array[1] = [True, True, False, False, False, False]
    problem.mask_array[2] = False
    assert_native_is_right(problem)


@variants
@every_cpu
@pytest.mark.quick_cases(5)
def test_long_sequences(cell, options):
    """Longer than a chunk, in both layouts, with a chunk cut short at the end."""
    assert_native_is_right(Problem(cell, 1, 67, 6, 7, training=False, options=options))
    assert_native_is_right(Problem(cell, 18, 35, 6, 7, mask=True, options=options))


@variants
@pytest.mark.parametrize("batch, time", [(0, 3), (3, 0), (17, 0), (0, 0)])
@cpu
def test_empty(cell, options, batch, time):
    """Without samples or steps there are no outputs, the states stay, and the kernels' gradients
    are zero.
    """
    problem = Problem(cell, batch, time, options=options)
    outputs, gradients = problem.run("native")
    assert outputs[0].shape == (batch, time, problem.units)
    for state, name in zip(outputs[1:], ("h0", "c0")):
        np.testing.assert_array_equal(state, problem.arrays[name].astype(np.float32))
    assert (
        not gradients["kernel"].any()
        and not gradients["recurrent_kernel"].any()
        and not gradients["bias"].any()
    )


@pytest.mark.parametrize("batch", [3, 17])
@variants
@cpu
def test_nan_stays_in_its_sample(cell, options, batch):
    """A NaN and an infinity in x reach what depends on them and nothing else, padding and other
    samples in the same vector included.
    """
    problem = Problem(cell, batch, 5, 6, 7, (4, 4), (4, 4), 1.0, training=False, options=options)
    problem.arrays["x"][0, 2, 1] = np.nan
    problem.arrays["x"][1, 3, 2] = np.inf
    actual, _ = problem.run("native")
    expected, _ = problem.run("reference")
    for one, other in zip(actual, expected):
        assert np.isnan(other).any() and not np.isnan(other[2]).any()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


@variants
@cpu
def test_padding_has_no_gradient(cell, options):
    """Whatever lies in partial blocks outside the kernel gets a gradient of exactly zero."""
    _, gradients = Problem(cell, 5, 4, 6, 7, (4, 4), (3, 5), 1.0, options=options).run("native")
    problem = Problem(cell, 5, 4, 6, 7, (4, 4), (3, 5), 1.0, options=options)
    for name, packed in zip(("kernel", "recurrent_kernel"), problem.packed):
        padding = packed.grid.pack(np.ones(packed.grid.kernel_shape), packed.blocks)[0] == 0
        assert padding.any() and not gradients[name][padding].any()


@every_cpu
def test_tanh_to_the_last_bits():
    """A cell with weight one and no recurrence is tanh itself."""
    x = np.concatenate(
        [np.linspace(-12, 12, 4001), np.logspace(-30, 1, 2000), [np.inf, -np.inf, 0.0, np.nan]]
    ).astype(np.float32)
    problem = Problem(
        "simple_rnn",
        len(x),
        1,
        1,
        1,
        (1, 1),
        (1, 1),
        1.0,
        bias=False,
        options={"activation": "tanh"},
    )
    one, zero = (
        kernel._replace(values=np.full((1, 1, 1), value))
        for kernel, value in zip(problem.packed, (1.0, 0.0))
    )
    outputs, _ = ops.block_sparse_simple_rnn(
        tf.constant(x[:, None, None]), tf.zeros((len(x), 1)), one, zero, None, kernel="native"
    )
    expected = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(
        outputs[:, 0, 0].numpy(), expected, rtol=4 * np.finfo(np.float32).eps, atol=0
    )
