"""Packing the live blocks of a dense kernel: the native op against plain TensorFlow and against
NumPy.
"""

import numpy as np
import pytest
import tensorflow as tf
from twinning import NATIVE

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import storage
from keras_sparse_rnn.patterns import BlockGrid

# inputs, units, gates, block shape: with partial blocks at both edges, at one, at none; a block
# larger than the kernel; shapes with code of their own.
GRIDS = [
    (7, 19, 4, (4, 8)),
    (33, 50, 3, (16, 16)),
    (64, 32, 1, (16, 16)),
    (13, 21, 4, (1, 16)),
    (9, 37, 3, (1, 8)),
    (10, 10, 4, (4, 4)),
    (18, 5, 2, (4, 1)),
    (11, 6, 3, (1, 1)),
    (40, 70, 1, (32, 32)),
    (3, 5, 2, (7, 9)),
    (1, 1, 1, (1, 1)),
    (1, 97, 3, (5, 3)),
    (131, 1, 4, (3, 2)),
]
needs_native = pytest.mark.skipif(not NATIVE, reason="the native library was not built")
PATHS = [pytest.param(True, id="native", marks=needs_native), pytest.param(False, id="tensorflow")]


def pack(kernel, grid, native):
    """`(values, blocks)`, as NumPy arrays."""
    packed = (storage.pack_live if native else storage.pack_live_in_tensorflow)(
        tf.constant(kernel), grid
    )
    return packed.values.numpy(), packed.blocks.numpy()


def random_kernel(grid, density, seed=0):
    generator = np.random.default_rng(seed)
    live = generator.random(grid.shape) < density
    return (generator.normal(size=grid.kernel_shape) * grid.expand(live)).astype("float32")


def spiked(grid, seed=0):
    """A kernel in which each live block has one weight, anywhere in it."""
    generator = np.random.default_rng(seed)
    kernel = np.zeros(grid.kernel_shape, "float32")
    places = generator.integers(0, kernel.size, 1 + kernel.size // 30)
    kernel.flat[places] = generator.normal(size=places.size)
    return kernel


@pytest.fixture(params=GRIDS, ids=str)
def grid(request):
    return BlockGrid(*request.param)


def test_pack_live_takes_the_native_op(monkeypatch):
    if not NATIVE:
        pytest.skip("the native library was not built")
    from keras_sparse_rnn.ops import native

    calls = []
    monkeypatch.setattr(native, "pack_live", lambda kernel, grid: calls.append(grid) or (1, 2))
    grid = BlockGrid(4, 4, 1, (2, 2))
    assert storage.pack_live(tf.eye(4), grid)[:3] == (1, 2, grid) and calls == [grid]
    storage.pack_live(tf.eye(4, dtype="float64"), grid)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [kind])
    assert storage.pack_live(tf.eye(4), grid).values.shape == (
        4,
        2,
        2,
    )  # on a GPU the ops are plain TensorFlow, too
    assert len(calls) == 1


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("density", [0.0, 0.02, 0.4, 1.0])
def test_what_lives_is_packed(grid, density, native):
    for kernel in (random_kernel(grid, density), spiked(grid)):
        values, blocks = pack(kernel, grid, native)
        if kernel.any() and not bool(storage.is_initial(kernel)):
            wanted, numbers = grid.pack(kernel)
        else:
            wanted, numbers = grid.pack(kernel, np.arange(grid.count))
        np.testing.assert_array_equal(blocks, numbers)
        np.testing.assert_array_equal(values, wanted)
        assert values.dtype == np.float32 and blocks.dtype == np.int32


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize(
    "value, lives",
    [(np.nan, True), (np.inf, True), (-np.inf, True), (1e-30, True), (-1e-30, True), (-0.0, False)],
)
def test_what_is_not_zero(grid, value, lives, native):
    if grid.count < 3:
        pytest.skip("needs a block beside another one")
    kernel = grid.unpack(np.ones((1, *grid.block_shape), "float32"), [0])
    dead = np.flatnonzero(kernel == 0)
    for place in dead[:: max(1, dead.size // 7)]:
        other = kernel.copy()
        other.flat[place] = value
        wanted = (grid.split(other) != 0).any(axis=(3, 4))
        values, blocks = pack(other, grid, native)
        np.testing.assert_array_equal(blocks, np.flatnonzero(wanted))
        np.testing.assert_array_equal(values, grid.pack(other, blocks)[0])
        assert (
            wanted.sum() == 1 + lives
            or wanted.sum() == 1
            and place in np.flatnonzero(grid.expand(grid.live(kernel)))
        )


@pytest.mark.parametrize("native", PATHS)
def test_initial_kernels_live_whole(grid, native):
    eye = np.eye(*grid.kernel_shape, dtype="float32")
    zeros = np.zeros_like(eye)
    # (kernel, whether it is what an initializer gives)
    kernels = [(zeros, True), (-zeros, True), (eye, True), (-0.5 * eye, True), (eye - 0.0, True)]
    if min(grid.kernel_shape) > 1:
        last = eye.copy()
        last[min(grid.kernel_shape) - 1, min(grid.kernel_shape) - 1] = 2.0
        missing = eye.copy()
        missing[0, 0] = 0.0
        broken = eye.copy()
        broken[1, 1] = np.nan
        beside = eye.copy()
        beside[0, -1] = 1e-3
        kernels += [
            (last, False),
            (missing, False),
            (broken, False),
            (beside, False),
            (np.where(eye, np.nan, 0).astype("float32"), False),
        ]
    for kernel, initial in kernels:
        assert bool(storage.is_initial(kernel)) == initial
        values, blocks = pack(kernel, grid, native)
        np.testing.assert_array_equal(
            blocks, np.arange(grid.count) if initial else np.flatnonzero(grid.live(kernel))
        )
        np.testing.assert_array_equal(values, grid.pack(kernel, blocks)[0])


@needs_native
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_gradients_are_those_of_plain_tensorflow(grid, density):
    kernel = tf.constant(random_kernel(grid, density, seed=1))
    gradients = []
    for pack_live in (storage.pack_live, storage.pack_live_in_tensorflow):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            values = pack_live(kernel, grid).values
            # Random, and not zero in the padding, which must not come back.
            loss = tf.reduce_sum(
                values * np.random.default_rng(2).normal(size=values.shape).astype("float32")
            )
        gradients.append(tf.convert_to_tensor(tape.gradient(loss, kernel)).numpy())
    np.testing.assert_array_equal(*gradients)
    assert gradients[0].any() and gradients[0].shape == grid.kernel_shape


@needs_native
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_results_do_not_depend_on_the_number_of_threads(threads):
    grid = BlockGrid(515, 300, 2, (16, 8))  # large enough to be shared
    kernel = random_kernel(grid, 0.2)
    ops.set_num_threads(threads)
    try:
        variable = tf.Variable(kernel)
        with tf.GradientTape() as tape:
            packed = storage.pack_live(variable, grid)
            loss = tf.reduce_sum(packed.values**2)
        gradient = tape.gradient(loss, variable)
    finally:
        ops.set_num_threads(None)
    wanted, blocks = grid.pack(kernel)
    np.testing.assert_array_equal(packed.blocks, blocks)
    np.testing.assert_array_equal(packed.values, wanted)
    np.testing.assert_array_equal(gradient, 2 * kernel)


@needs_native
def test_shapes_are_known_in_graphs_but_for_the_number_of_live_blocks():
    grid = BlockGrid(7, 9, 4, (4, 4))

    @tf.function(input_signature=[tf.TensorSpec((7, 36))])
    def call(kernel):
        packed = storage.pack_live(kernel, grid)
        assert packed.values.shape.as_list() == [None, 4, 4] and packed.blocks.shape.as_list() == [
            None
        ]
        (gradient,) = tf.gradients(packed.values, kernel)
        assert gradient.shape.as_list() == [7, 36]
        return packed.values, packed.blocks

    for density in (0.2, 0.7):
        kernel = random_kernel(grid, density)
        for one, other in zip(call(kernel), grid.pack(kernel)):
            np.testing.assert_array_equal(one, other)


@needs_native
@pytest.mark.parametrize(
    "shape, attributes, message",
    [
        ((4, 9), {}, r"`kernel` must be float32 of shape \[\?, 8\]. Received: shape \[4, 9\]"),
        ((8,), {}, r"`kernel` must be float32 of shape"),
        (
            (0, 8),
            {},
            "`kernel` must have sizes of at least 1, and at most 33554431 inputs, units of all "
            "gates and weights of a block, with the padding of partial blocks, in at most "
            "2147483647 blocks. Received: 0 inputs, 2 gates of 4 units, blocks of 2 x 2",
        ),
        ((4, 8), {"block_rows": 0}, "Received: 4 inputs, 2 gates of 4 units, blocks of 0 x 2"),
        ((4, 8), {"block_columns": -3}, "blocks of 2 x -3"),
        ((4, 8), {"gates": -2, "units": -4}, "-2 gates of -4 units"),
        ((4, 8), {"block_rows": 2**31 - 1}, "blocks of 2147483647 x 2"),
    ],
)
def test_bad_arguments_of_the_op_are_errors(shape, attributes, message):
    op = ops.loader.library().keras_sparse_rnn_pack
    attributes = {"units": 4, "gates": 2, "block_rows": 2, "block_columns": 2, **attributes}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        op(tf.zeros(shape), **attributes)


@needs_native
@pytest.mark.parametrize("blocks", [[0, 8], [1, 1], [2, 0], [-1, 3]])
def test_bad_block_numbers_in_the_gradient_are_errors(blocks):
    op = ops.loader.library().keras_sparse_rnn_pack_grad
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="ascending block numbers without repetition, from 0 to 7",
    ):
        op(tf.zeros((2, 2, 2)), blocks, inputs=4, units=4, gates=2)


@needs_native
def test_a_second_derivative_is_refused_in_words():
    grid = BlockGrid(4, 4, 1, (2, 2))
    kernel = tf.Variable(tf.eye(4) + 1.0)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(storage.pack_live(kernel, grid).values ** 2)
        gradient = tape.gradient(loss, kernel)
    with pytest.raises(
        NotImplementedError, match='KerasSparseRnnPackGrad was asked for. Use kernel="reference"'
    ):
        outer.gradient(gradient, kernel)
