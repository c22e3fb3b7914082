"""Packed kernels, and the differentiable way between them and dense ones.

A kernel `[inputs, gates * units]` of which most blocks are zero is kept as its live blocks:
`values` `[live, block rows, block columns]` and their ascending numbers `blocks` int32 `[live]`,
counted as `BlockGrid` in `keras_sparse_rnn.patterns` counts them. `pack` and `unpack` are plain
TensorFlow, so they have gradients, run in graphs and compile under XLA.

The gradient of `unpack` is what makes packed storage trainable by the plain-TF reference: that of a
dense kernel, gathered at the live blocks. Padding of partial blocks takes no part in either, so its
gradient is zero."""

from typing import NamedTuple

import tensorflow as tf

from keras_sparse_rnn.ops.tracing import under_xla
from keras_sparse_rnn.patterns import BlockGrid


class PackedKernel(NamedTuple):
    """The live blocks of one kernel.

    Attributes:
        values: float tensor `[live, block rows, block columns]`; the part of a partial block
            outside the kernel is zero. Of bfloat16 (beside float32 inputs) or int8 they are used as
            they are stored, and have no gradient: see `quantize`.
        blocks: int32 tensor or array `[live]`, the number of each block, ascending.
        grid: the `BlockGrid` that says where a number lies; static.
        scales: float32 `[gates, block columns of a gate, block columns]` of int8 values, else None.
    """

    values: object
    blocks: object
    grid: BlockGrid
    scales: object = None


def pack(kernel, blocks, grid):
    """Gathers the blocks numbered `blocks` of a dense kernel.

    Args:
        kernel: float tensor `[inputs, gates * units]`.
        blocks: int32 `[live]`.
        grid: `BlockGrid` of the kernel.

    Returns:
        Tensor `[live, block rows, block columns]`, zero where a partial block sticks out of the
        kernel.
    """
    height, width = grid.block_shape
    gates, columns, rows = grid.shape
    cut = tf.reshape(kernel, (grid.inputs, gates, grid.units))
    cut = tf.pad(cut, ((0, rows * height - grid.inputs), (0, 0), (0, columns * width - grid.units)))
    cut = tf.transpose(tf.reshape(cut, (rows, height, gates, columns, width)), (2, 3, 0, 1, 4))
    return tf.gather(tf.reshape(cut, (grid.count, height, width)), blocks)


def inside(blocks, grid):
    """Which weights of the blocks numbered `blocks`, int32 `[live]`, lie in the kernel and not in
    the padding of a partial block: bool `[live, block rows, block columns]`.
    """
    height, width = grid.block_shape
    first_row = blocks % grid.rows * height
    first_column = blocks // grid.rows % grid.columns * width
    rows = first_row[:, None] + tf.range(height) < grid.inputs
    columns = first_column[:, None] + tf.range(width) < grid.units
    return rows[:, :, None] & columns[:, None, :]


def checked_blocks(blocks, grid, name="blocks"):
    """`blocks` as an int32 tensor, checked as `grid.checked_blocks` does.

    Raises:
        ValueError: they are known to be wrong. Numbers that are known only when a graph runs are
            checked then, with a `tf.errors.InvalidArgumentError`, but for XLA, which cannot raise.
    """
    blocks = tf.convert_to_tensor(blocks)
    known = tf.get_static_value(blocks)
    if known is not None:
        grid.checked_blocks(known, name)
        return tf.cast(blocks, tf.int32)
    blocks = tf.cast(blocks, tf.int32)
    if under_xla():
        return blocks
    before = tf.concat([[-1], blocks[:-1]], axis=0)
    right = (blocks > before) & (blocks < grid.count)

    def complain():
        at = tf.argmin(tf.cast(right, tf.int32))
        after = tf.where(at > 0, " after " + tf.strings.as_string(before[at]), "")
        found = [tf.strings.as_string(at), "] = ", tf.strings.as_string(blocks[at]), after]
        text = tf.strings.join([f"{grid.wanted_blocks(name)}[", *found])
        return tf.raw_ops.Assert(condition=False, data=[text])

    every = tf.reduce_all(right)
    with tf.control_dependencies([tf.cond(every, tf.no_op, complain)]):
        return tf.identity(blocks)


def unpack(values, blocks, grid, name="blocks"):
    """Scatters live blocks into a dense kernel that is zero elsewhere: the inverse of `pack`.

    Args:
        values: float tensor `[live, block rows, block columns]`.
        blocks: int32 `[live]`, ascending.
        grid: `BlockGrid` of the kernel.
        name: what an error calls `blocks`.

    Returns:
        Tensor `[inputs, gates * units]`.

    Raises:
        ValueError: see `checked_blocks`.
    """
    height, width = grid.block_shape
    gates, columns, rows = grid.shape
    indices = tf.reshape(checked_blocks(blocks, grid, name), (-1, 1))
    cut = tf.scatter_nd(indices, values, (grid.count, height, width))
    cut = tf.transpose(tf.reshape(cut, (gates, columns, rows, height, width)), (2, 3, 0, 1, 4))
    cut = tf.reshape(cut, (rows * height, gates, columns * width))
    return tf.reshape(cut[: grid.inputs, :, : grid.units], grid.kernel_shape)
