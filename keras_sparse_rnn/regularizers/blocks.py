"""The norm of each block of a kernel, and blocks scaled one by one: in plain TensorFlow, at about
the speed of the memory.

Blocks are arranged here as they lie in the kernel, `[block rows, gates * block columns]`. So
nothing has to be transposed: rows of weights that lie one below the other are added first, which is
quick along whole rows, and what is left is smaller by the height of a block."""

import numpy as np
import tensorflow as tf


def block_norms(kernel, grid):
    """The l2 norm of each block, `[block rows, gates * block columns]`.

    Args:
        kernel: float32 or float64 tensor `[inputs, gates * units]`.
        grid: the `BlockGrid` that cuts it.
    """
    return tf.reshape(
        _norms(_padded(kernel, grid), grid.block_shape), (grid.rows, grid.gates * grid.columns)
    )


def packed_norms(values, block_shape):
    """The l2 norm of each part of packed blocks, `[live, rows of parts, columns of parts]`.

    Args:
        values: tensor `[live, block rows, block columns]`.
        block_shape: `(rows, columns)` of a part, which divide those of a block.
    """
    height, width = block_shape
    return tf.reshape(
        _norms(values, block_shape), (-1, values.shape[1] // height, values.shape[2] // width)
    )


def scale_packed(values, factors):
    """The packed blocks `values` `[live, block rows, block columns]` with each part multiplied by
    its factor `[live, rows, columns of parts]`.
    """
    rows, columns = factors.shape[1:]
    height, width = values.shape[1] // rows, values.shape[2] // columns
    if width > 1:
        factors = tf.repeat(factors, width, axis=2)
    strips = tf.reshape(values, (-1, rows, height, columns * width))
    return tf.reshape(strips * factors[:, :, None, :], tf.shape(values))


def parts_of_blocks(grid, block_shape):
    """How many weights each part of each block of `grid` has, int64 array `[count, rows of parts,
    columns of parts]`: fewer at partial edges.

    Args:
        grid: a `BlockGrid`.
        block_shape: `(rows, columns)` of a part, which divide those of a block.
    """
    (height, width), (tall, wide) = block_shape, grid.block_shape
    inside = grid.split(np.ones(grid.kernel_shape, np.int8))
    return inside.reshape(grid.count, tall // height, height, wide // width, width).sum(
        axis=(2, 4), dtype=np.int64
    )


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
        factors = tf.reshape(factors, (grid.rows, grid.gates, grid.columns * width))[
            :, :, : grid.units
        ]
        factors = tf.reshape(factors, (grid.rows, grid.gates * grid.units))
    if grid.inputs % height:
        return kernel * tf.repeat(factors, height, axis=0)[: grid.inputs]
    strips = tf.reshape(kernel, (grid.rows, height, grid.gates * grid.units))
    return tf.reshape(strips * factors[:, None, :], grid.kernel_shape)


def block_sizes(grid):
    """How many weights each block has, int64 array `[block rows, gates * block columns]`: fewer at
    partial edges.
    """
    return np.reshape(grid.elements.transpose(2, 0, 1), (grid.rows, -1))


def _norms(weights, block_shape):
    """The l2 norms of blocks of `weights` `[..., columns]`, whose rows follow each other, in any
    shape that has as many.
    """
    height, width = block_shape
    if block_shape == (1, 1):
        return tf.abs(weights)
    # This reduction squares as it reads: squares that are written first take as long again.
    if height > 1:
        weights = tf.math.reduce_euclidean_norm(
            tf.reshape(weights, (-1, height, weights.shape[-1])), axis=1
        )
    if width > 1:
        weights = tf.math.reduce_euclidean_norm(tf.reshape(weights, (-1, width)), axis=1)
    return weights


def _padded(kernel, grid):
    """The kernel with zeros at the partial edges of each gate."""
    height, width = grid.block_shape
    below, right = grid.rows * height - grid.inputs, grid.columns * width - grid.units
    if right:
        kernel = tf.pad(
            tf.reshape(kernel, (grid.inputs, grid.gates, grid.units)),
            ((0, below), (0, 0), (0, right)),
        )
        return tf.reshape(kernel, (grid.rows * height, -1))
    return tf.pad(kernel, ((0, below), (0, 0))) if below else kernel
