"""The block-sparse GRU."""

import keras
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers.arguments import takes_arguments_of
from keras_sparse_rnn.layers.base import BlockSparseRNN


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockSparseGRU(BlockSparseRNN, keras.layers.GRU):
    """`keras.layers.GRU` that computes the live blocks of its kernels only.

    With `W` and `U` zero outside their live blocks, gates in Keras's order, `reset_after=True`:

        z, r, n = split(x_t W + b0);   z', r', n' = split(h U + b1)
        z, r = sigmoid(z + z'), sigmoid(r + r')
        h = z * h + (1 - z) * tanh(n + r * n')

    With `reset_after=False` there is one bias, and the last line has `((r * h) U)_n` in place of `r
    * n'`. Gradients reach live weights only.

    Weights in packed storage: `kernel_values` `[live, block rows, block columns]`,
    `recurrent_kernel_values`, `bias` (`[2, 3 * units]`, with `reset_after=False` `[3 * units]`),
    and `kernel_blocks`, `recurrent_kernel_blocks`, int32 `[live]`, not trainable. In masked
    storage: those of `keras.layers.GRU`.

    `unroll` and `use_cudnn` change nothing: the whole sequence is one op call. `recurrent_dropout`,
    and `dropout` with `implementation=1`, train in Keras's own loop over unpacked kernels.

    Args:
        units: size of the output and of the state.
        block_shape: `(rows, columns)` of a block of `[inputs, units]` and `[units, units]`, the
            kernels of one gate.
        recurrent_block_shape: that of the recurrent kernel, if it is another one.
        recurrent_pattern: which weights or blocks of the recurrent kernel live, such as
            `patterns.from_graph(graph)`; `sparsity` is that of the other kernel alone then.
        sparsity: fraction of the blocks of a fresh layer that are zero, in [0, 1), chosen at
            random.
        recurrent_sparsity: that of the recurrent kernel, if it is another one.
        keep_diagonal: whether the blocks that touch the diagonal of a gate of the recurrent kernel
            are among the live ones.
        storage: `"packed"` owns the live blocks only, `"masked"` the variables of the Keras layer,
            so that `BlockPruning` can prune them.
        kernel: `"auto"`, `"native"` or `"reference"`.
        live_blocks: how many blocks of the two kernels live, instead of `sparsity`.
        weights: `"float32"`, or for inference `"bfloat16"` or `"int8"`: packed, not trainable. See
            `ksr.substitute`.
        activations: `"int8"`, with int8 weights only, rounds inputs and states to integers, too.
        input_range: of int8 activations, the largest input in absolute value; larger ones count as
            it. 0: that of each step of each sample.
        low_precision: a `ksr.quantization.LowPrecision`, or None: the layer computes with weights,
            and if wanted with inputs and states, of few bits, and trains so. With float32 weights.
        kwargs: every argument of `keras.layers.GRU`. Regularizers and constraints see the dense
            kernels.
    """

    gates = 3
    op = "gru"

    __init__ = takes_arguments_of(keras.layers.GRU)(BlockSparseRNN.__init__)

    @property
    def reset_after(self):
        """Whether the reset gate acts after the recurrent product."""
        return self.cell.reset_after

    def _op_options(self):
        return {"activation": self.activation, "recurrent_activation": self.recurrent_activation}

    def _run(self, x, states, packed, recurrent_packed, bias, options):
        options = {"reset_after": self.cell.reset_after, **self._op_options(), **options}
        return ops.block_sparse_gru(x, *states, packed, recurrent_packed, bias, **options)

    def recurrent_factors(self, x, previous, gradients, kernels, bias):
        """As in the base class: the reset gate stands between the candidate and the recurrent
        product (`reset_after`), or before it.
        """
        sums = [
            ops.block_sparse_matmul(one, packed, kernel=self.kernel_choice)
            for one, packed in zip((x, previous), kernels)
        ]
        sums = (
            sum(sums)
            if bias is None
            else sum(sums) + tf.reduce_sum(tf.reshape(bias, (-1, bias.shape[-1])), axis=0)
        )
        reset = self.recurrent_activation(tf.split(sums, 3, axis=-1)[1])
        if not self.cell.reset_after:
            return [previous, previous, reset * previous], gradients
        *others, candidate = tf.split(gradients, 3, axis=-1)
        return [previous] * 3, tf.concat([*others, reset * candidate], -1)
