"""The plain-TF reference against Keras's own layers, and packing against the grid's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from problems import Problem

from keras_sparse_rnn import ops, patterns

LAYERS = [
    (keras.layers.LSTM, "lstm", {}),
    (keras.layers.LSTM, "lstm", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
    (keras.layers.GRU, "gru", {"reset_after": True}),
    (keras.layers.GRU, "gru", {"reset_after": False}),
    (keras.layers.SimpleRNN, "simple_rnn", {"activation": "tanh"}),
    (keras.layers.SimpleRNN, "simple_rnn", {"activation": "relu"}),
]


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layer_class, cell, options", LAYERS, ids=str)
def test_as_keras(layer_class, cell, options, masked, go_backwards):
    """Random weights, states and masks that begin with gaps: gate order, bias layout and time
    agree.
    """
    problem = Problem(
        cell, 3, 5, 7, 6, density=0.6, mask=masked, go_backwards=go_backwards, options=options
    )
    if masked:
        problem.mask_array[0, :2] = problem.mask_array[1, -2:] = False
    layer = layer_class(
        6,
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
        dtype="float64",
        **options,
    )
    states = [problem.arrays[name] for name in ("h0", "c0") if name in problem.arrays]
    layer.build((3, 5, 7))
    kernels = [packed.grid.unpack(packed.values, packed.blocks) for packed in problem.packed]
    layer.set_weights([*kernels, problem.arrays["bias"]])
    mask = None if problem.mask_array is None else tf.constant(problem.mask_array)
    expected = layer(
        problem.arrays["x"], mask=mask, initial_state=[tf.constant(state) for state in states]
    )
    actual, _ = problem.run("reference", "float64")
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_gradients_are_derivatives(cell):
    """Each input's gradient along a random direction, against central differences in float64."""
    problem = Problem(cell, 2, 4, 5, 6, mask=True)
    _, gradients = problem.run("reference", "float64")
    names, step = list(problem.arrays), 1e-6

    def loss(arrays):
        outputs = problem.call([tf.constant(array) for array in arrays], "reference")
        return sum(
            float(tf.reduce_sum(output * cotangent))
            for output, cotangent in zip(outputs, problem.cotangents)
        )

    for index, name in enumerate(names):
        arrays = list(problem.arrays.values())
        direction = problem.rng.normal(size=arrays[index].shape)
        if "kernel" in name:
            packed = problem.packed["recurrent" in name]
            direction *= packed.grid.pack(np.ones(packed.grid.kernel_shape), packed.blocks)[0]
        moved = [
            arrays[:index] + [arrays[index] + sign * step * direction] + arrays[index + 1 :]
            for sign in (1, -1)
        ]
        difference = (loss(moved[0]) - loss(moved[1])) / (2 * step)
        np.testing.assert_allclose(
            np.sum(gradients[name] * direction), difference, rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla(jit_compile):
    problem = Problem("lstm", 3, 4, mask=True)
    eager, eager_gradients = problem.run("reference")
    compiled, gradients = problem.run(
        "reference", wrap=lambda f: tf.function(f, jit_compile=jit_compile)
    )
    for one, other in zip(compiled, eager):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for name, other in eager_gradients.items():
        np.testing.assert_allclose(gradients[name], other, atol=1e-4)


@pytest.mark.parametrize("batch, time", [(0, 3), (3, 0), (3, 2)])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_unknown_sizes(cell, batch, time):
    problem = Problem(cell, batch, time)
    specs = [
        tf.TensorSpec(
            [None, None, 13] if name == "x" else [None, 11] if name in ("h0", "c0") else array.shape
        )
        for name, array in problem.arrays.items()
    ]
    graph = tf.function(lambda *tensors: problem.call(tensors, "reference"), input_signature=specs)
    outputs = graph(*[tf.constant(array, tf.float32) for array in problem.arrays.values()])
    assert outputs[0].shape == (batch, time, 11) and outputs[1].shape == (batch, 11)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("block_shape", [(4, 4), (3, 5), (16, 16)], ids=str)
def test_pack_and_unpack(block_shape, jit_compile):
    """As `BlockGrid` packs, inverse to each other, each the other's gradient."""
    rng = np.random.default_rng(0)
    grid = patterns.BlockGrid(11, 7, 3, block_shape)
    kernel = rng.normal(size=grid.kernel_shape)
    blocks = np.flatnonzero(rng.random(grid.count) < 0.6).astype(np.int32)
    values, _ = grid.pack(kernel, blocks)
    pack = tf.function(lambda kernel: ops.pack(kernel, blocks, grid), jit_compile=jit_compile)
    unpack = tf.function(lambda values: ops.unpack(values, blocks, grid), jit_compile=jit_compile)
    np.testing.assert_array_equal(pack(kernel), values)
    np.testing.assert_array_equal(unpack(values), grid.unpack(values, blocks))
    with tf.GradientTape() as tape:
        tensor = tf.constant(values)
        tape.watch(tensor)
        dense = unpack(tensor)
    cotangent = rng.normal(size=grid.kernel_shape)
    np.testing.assert_array_equal(
        tape.gradient(dense, tensor, tf.constant(cotangent)), grid.pack(cotangent, blocks)[0]
    )


def test_no_live_block():
    grid = patterns.BlockGrid(5, 6, 1, (4, 4))
    packed = ops.PackedKernel(np.zeros((0, 4, 4), np.float32), np.zeros((0,), np.int32), grid)
    np.testing.assert_array_equal(
        ops.block_sparse_matmul(tf.ones((2, 5)), packed, kernel="reference"), np.zeros((2, 6))
    )
