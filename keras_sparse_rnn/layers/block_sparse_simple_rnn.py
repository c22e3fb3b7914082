"""The block-sparse simple recurrent layer."""

import keras

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers.arguments import takes_arguments_of
from keras_sparse_rnn.layers.base import BlockSparseRNN


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockSparseSimpleRNN(BlockSparseRNN, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN` that computes the live blocks of its kernels only.

    With `W` and `U` zero outside their live blocks, `h = activation(x_t W + h U + b)`. The native
    op knows tanh and relu. Gradients reach live weights only.

    Weights in packed storage: `kernel_values` `[live, block rows, block columns]`,
    `recurrent_kernel_values`, `bias` `[units]`, and `kernel_blocks`, `recurrent_kernel_blocks`,
    int32 `[live]`, not trainable. In masked storage: those of `keras.layers.SimpleRNN`.

    `unroll` changes nothing: the whole sequence is one op call. `recurrent_dropout` trains in
    Keras's own loop over unpacked kernels.

    Args:
        units: size of the output and of the state.
        block_shape: `(rows, columns)` of a block of `[inputs, units]` and `[units, units]`.
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
        kwargs: every argument of `keras.layers.SimpleRNN`. Regularizers and constraints see the
            dense kernels.
    """

    gates = 1
    op = "simple_rnn"

    __init__ = takes_arguments_of(keras.layers.SimpleRNN)(BlockSparseRNN.__init__)

    def _run(self, x, states, packed, recurrent_packed, bias, options):
        return ops.block_sparse_simple_rnn(
            x, *states, packed, recurrent_packed, bias, **self._op_options(), **options
        )
