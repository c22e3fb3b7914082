"""A penalty on the norms of blocks."""

import keras
import tensorflow as tf

from keras_sparse_rnn.patterns import check_block_shape
from keras_sparse_rnn.regularizers.blocks import (
    block_norms,
    block_sizes,
    packed_norms,
    parts_of_blocks,
    scale_blocks,
    scale_packed,
)
from keras_sparse_rnn.regularizers.gates import as_matrix, grid_of
from keras_sparse_rnn.regularizers.regularizer import Regularizer, working_dtype


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class GroupLasso(Regularizer):
    """Drives whole blocks of a kernel towards zero: the sum of their l2 norms.

        penalty  = strength * sum over blocks b of sqrt(N_b) * ||w_b||
        gradient = strength * sqrt(N_b) * w_b / ||w_b||,  zero where the block is all zero

    `N_b` is the number of weights of the block. The square root makes strengths comparable: for
    weights of one size, in every block shape each weight is pulled at with the same force,
    `strength`, and the penalty is about the same. With blocks of (1, 1) it is the L1 penalty,
    `strength * sum |w|`. It is the group lasso of Narang, Undersander and Diamos 2017 (arXiv
    1711.02782), who have no square root: their lambda is `strength * sqrt(N_b)`, so 16 times the
    strength for 16 x 16.

    A gradient makes norms small, not zero. `callbacks.BlockPruning` then drops small blocks at
    little cost; `constraints.ProximalGroupLasso` makes exact zeros. To have the penalty while
    pruning runs and not afterwards (the authors' GLP), add
    `callbacks.StrengthSchedule(until=schedule)`.

    Each gate is cut by itself, as everywhere in this package; at edges that do not divide there are
    partial blocks, with their own `N_b`. Norms are computed in float32 (in float64 for float64
    weights) and are right for weights from 1e-17 to 1e15; blocks of smaller ones may count as zero.
    A kernel of more than two axes, as of a convolution, is cut as the matrix whose columns are its
    last axis.

    >>> lasso = GroupLasso(0.5, block_shape=(2, 2))
    >>> kernel = tf.constant([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])  # a block of norm 5, one of zeros
    >>> float(lasso(kernel, gates=1))
    5.0

    Args:
        strength: a number of at least 0, per weight. What is right depends on the loss; 1e-6 to
            1e-4 beside a mean cross-entropy.
        block_shape: `(rows, columns)` of a block in the kernel `[inputs, units]` of one gate. Use
            that of `BlockPruning`.
        gates: how many gates the kernel has: 4 in an LSTM, 3 in a GRU, else 1. `None` finds it out,
            for the layers of Keras and of this package. It is needed only for cells that you have
            named yourself, and `Dense` layers with a name of yours, if units do not divide into
            blocks.

    Raises:
        ValueError: an argument is out of its range; or, when it is called, the kernel has no two
            axes or its number of gates cannot be told and makes a difference.
    """

    def __init__(self, strength, block_shape=(16, 16), gates=None):
        super().__init__(strength, gates)
        self.block_shape = check_block_shape(block_shape)

    def penalty(self, kernel, gates):
        grid = grid_of(kernel.shape, gates, self.block_shape, self)
        kernel, sizes = as_matrix(kernel), block_sizes(grid)
        return _sum_of_norms(
            kernel,
            sizes,
            lambda w: block_norms(w, grid),
            lambda w, factors: scale_blocks(w, factors, grid),
        )

    def of_packed(self, values, blocks, grid):
        (height, width), (tall, wide) = self.block_shape, grid.block_shape
        if tall % height or wide % width or self.gates not in (None, grid.gates):
            return None
        sizes = tf.gather(tf.constant(parts_of_blocks(grid, self.block_shape)), blocks)
        values = tf.cast(values, working_dtype(values.dtype))
        return self._scaled(
            _sum_of_norms(values, sizes, lambda w: packed_norms(w, self.block_shape), scale_packed)
        )

    def get_config(self):
        config = super().get_config()
        return {
            "strength": config["strength"],
            "block_shape": list(self.block_shape),
            "gates": config["gates"],
        }


def _sum_of_norms(weights, sizes, norms_of, scaled):
    """The sum of the norms of all blocks, times the roots of their sizes, with a gradient that is
    zero at blocks of zeros.

    Args:
        weights: tensor of any shape.
        sizes: how many weights each block has; an array or tensor of the shape of the norms.
        norms_of: function of the weights, the norm of each block.
        scaled: function of the weights and a factor for each block, the weights multiplied by them.
    """
    roots = tf.sqrt(tf.cast(sizes, weights.dtype))

    @tf.custom_gradient
    def total(weights):
        norms = norms_of(weights)

        def gradient(upstream):
            return scaled(weights, upstream * tf.math.divide_no_nan(roots, norms))

        return tf.reduce_sum(roots * norms), gradient

    return total(weights)
