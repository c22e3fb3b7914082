"""The norm of each block of a kernel, and blocks scaled one by one: in plain TensorFlow, at about the speed of the memory.

Blocks are arranged here as they lie in the kernel, `[block rows, gates * block columns]`. So nothing has to be transposed: rows of weights that lie one
below the other are added first, which is quick along whole rows, and what is left is smaller by the height of a block.
"""

import numpy as np
import tensorflow as tf

# Squares of float32 weights below 1e-19 would be zero. Scaled by this, those of weights from 1e-30 to 1e4 can be added in any block.
SCALE = 2.0**44


def block_norms(kernel, grid):
    """The l2 norm of each block, `[block rows, gates * block columns]`.

    Args:
        kernel: float32 or float64 tensor `[inputs, gates * units]`.
        grid: the `BlockGrid` that cuts it.
    """
    height, width = grid.block_shape
    if grid.block_shape == (1, 1):
        return tf.abs(kernel)
    scale = _scale(kernel.dtype)
    sums = tf.square(_padded(kernel, grid) * scale)
    if height > 1:
        sums = tf.reduce_sum(tf.reshape(sums, (grid.rows, height, -1)), axis=1)
    if width > 1:
        sums = tf.reduce_sum(tf.reshape(sums, (-1, width)), axis=1)
    return tf.reshape(tf.sqrt(sums) / scale, (grid.rows, grid.gates * grid.columns))


def packed_norms(values, block_shape):
    """The l2 norm of each part of packed blocks, `[live, rows of parts, columns of parts]`.

    Args:
        values: tensor `[live, block rows, block columns]`.
        block_shape: `(rows, columns)` of a part, which divide those of a block.
    """
    height, width = block_shape
    rows, columns = values.shape[1] // height, values.shape[2] // width
    scale = _scale(values.dtype)
    sums = tf.square(values * scale)
    if height > 1:
        sums = tf.reduce_sum(tf.reshape(sums, (-1, height, columns * width)), axis=1)
    if width > 1:
        sums = tf.reduce_sum(tf.reshape(sums, (-1, width)), axis=1)
    return tf.reshape(tf.sqrt(sums) / scale, (-1, rows, columns))


def scale_packed(values, factors):
    """The packed blocks `values` `[live, block rows, block columns]` with each part multiplied by its factor `[live, rows, columns of parts]`."""
    rows, columns = factors.shape[1:]
    height, width = values.shape[1] // rows, values.shape[2] // columns
    if width > 1:
        factors = tf.repeat(factors, width, axis=2)
    strips = tf.reshape(values, (-1, rows, height, columns * width))
    return tf.reshape(strips * factors[:, :, None, :], tf.shape(values))


def parts_of_blocks(grid, block_shape):
    """How many weights each part of each block of `grid` has, int64 array `[count, rows of parts, columns of parts]`: fewer at partial edges.

    Args:
        grid: a `BlockGrid`.
        block_shape: `(rows, columns)` of a part, which divide those of a block.
    """
    (height, width), (tall, wide) = block_shape, grid.block_shape
    rows, columns = (
        np.clip(total - part * np.arange(count * block // part), 0, part).reshape(count, -1)
        for total, part, count, block in ((grid.inputs, height, grid.rows, tall), (grid.units, width, grid.columns, wide))
    )
    sizes = columns[:, None, None, :] * rows[:, :, None]  # [columns of blocks, rows of blocks, rows of parts, columns of parts]
    return np.ascontiguousarray(np.broadcast_to(sizes, (grid.gates, *sizes.shape))).reshape(grid.count, *sizes.shape[2:])


def scale_blocks(kernel, factors, grid):
    """The `kernel` with each block multiplied by its factor.

    Args:
        kernel: tensor `[inputs, gates * units]`.
        factors: of its dtype, `[block rows, gates * block columns]`.
        grid: the `BlockGrid` that cuts it.
    """
    height, width = grid.block_shape
    if width > 1:
        factors = tf.repeat(factors, width, axis=1)
    if grid.units % width:
        factors = tf.reshape(factors, (grid.rows, grid.gates, grid.columns * width))[:, :, : grid.units]
        factors = tf.reshape(factors, (grid.rows, grid.gates * grid.units))
    if grid.inputs % height:
        return kernel * tf.repeat(factors, height, axis=0)[: grid.inputs]
    strips = tf.reshape(kernel, (grid.rows, height, grid.gates * grid.units))
    return tf.reshape(strips * factors[:, None, :], grid.kernel_shape)


def block_sizes(grid):
    """How many weights each block has, int64 array `[block rows, gates * block columns]`: fewer at partial edges."""
    return np.reshape(grid.elements.transpose(2, 0, 1), (grid.rows, -1))


def _scale(dtype):
    return tf.constant(SCALE if dtype == tf.float32 else 1.0, dtype)


def _padded(kernel, grid):
    """The kernel with zeros at the partial edges of each gate."""
    height, width = grid.block_shape
    below, right = grid.rows * height - grid.inputs, grid.columns * width - grid.units
    if right:
        kernel = tf.pad(tf.reshape(kernel, (grid.inputs, grid.gates, grid.units)), ((0, below), (0, 0), (0, right)))
        return tf.reshape(kernel, (grid.rows * height, -1))
    return tf.pad(kernel, ((0, below), (0, 0))) if below else kernel
