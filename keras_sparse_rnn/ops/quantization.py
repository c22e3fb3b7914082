"""Weights of fewer bits, for inference: bfloat16 and int8.

Small batches spend their time on reading weights, so weights of half or a quarter of the bytes are
faster, and smaller. Activations, sums and states stay float32: the native kernels widen weights in
registers.

- **bfloat16** rounds each weight to 8 significant bits: a relative error of at most 2^-8.
- **int8** rounds each weight to a multiple of its output's *scale*: symmetric, to nearest, 127
  steps to the largest live weight of that output, an error of at most half a scale. There is one
  scale for each output of a gate, that is for each row of the transposed blocks in which the sums
  are formed, so that sums are scaled once at their end. docs/quantised.md has what finer scales
  would bring.

Quantised weights have no gradient. Train in float32, then `ksr.substitute(model, weights="int8")`.
"""

import tensorflow as tf

from keras_sparse_rnn.ops.packing import PackedKernel, checked_blocks, unpack
from keras_sparse_rnn.patterns import check_choice

WEIGHTS = ("float32", "bfloat16", "int8")
NO_GRADIENT = (
    "quantised weights (bfloat16, int8) are for inference, there is no gradient through them. "
    "Train the model with float32 weights and quantise it "
    'afterwards: keras_sparse_rnn.substitute(model, weights="int8"). To train other layers '
    "behind quantised ones, set `trainable = False` on those "
    "and on all layers before them"
)


def quantize(packed, weights):
    """A packed kernel with weights of another type.

    >>> from keras_sparse_rnn.patterns import BlockGrid
    >>> grid = BlockGrid(inputs=2, units=2, gates=1, block_shape=(2, 2))
    >>> values, blocks = grid.pack(np.array([[1.27, -0.5], [0.634, 0.0]], "float32"))
    >>> quantize(PackedKernel(values, blocks, grid), "int8").values.numpy().tolist()
    [[[127, -127], [63, 0]]]

    Args:
        packed: `PackedKernel` with float values.
        weights: `"float32"`, `"bfloat16"` or `"int8"`.

    Returns:
        `PackedKernel` with `values` of that type and, for int8, `scales` float32 `[gates, block
        columns of a gate, columns of a block]`.
    """
    check_choice(weights, WEIGHTS, "weights")
    values = tf.convert_to_tensor(packed.values)
    if packed.scales is not None or not values.dtype.is_floating:
        raise ValueError(
            "`packed` must have float values, not quantised ones. Received: values of "
            f"{values.dtype.name}"
        )
    values = tf.cast(values, tf.float32)
    if weights != "int8":
        return packed._replace(values=tf.cast(values, weights))
    largest = tf.reduce_max(tf.abs(values), axis=1)
    scales = tf.math.unsorted_segment_max(
        largest, _outputs(packed), packed.grid.gates * packed.grid.columns
    )
    scales = tf.maximum(scales, 0.0) / 127.0  # of a column without a live block: 0
    steps = tf.math.divide_no_nan(values, _of_blocks(scales, packed))
    values = tf.cast(tf.clip_by_value(tf.round(steps), -127.0, 127.0), tf.int8)
    return packed._replace(values=values, scales=tf.reshape(scales, scales_shape(packed.grid)))


def dequantize(packed, dtype=tf.float32, name="blocks"):
    """The same kernel with float values: those that the quantised ones stand for. Errors call its
    block numbers `name`.
    """
    values = tf.cast(packed.values, dtype)
    if packed.scales is not None:
        packed = packed._replace(blocks=checked_blocks(packed.blocks, packed.grid, name))
        scales = tf.reshape(tf.cast(packed.scales, dtype), (-1, packed.grid.block_shape[1]))
        values *= _of_blocks(scales, packed)
    return PackedKernel(values, packed.blocks, packed.grid)


def dense(packed, dtype, name="blocks"):
    """The dense kernel of a packed one, of any type of weights. Errors call its block numbers
    `name`.
    """
    values, blocks, grid, _ = dequantize(packed, dtype, name)
    return unpack(values, blocks, grid, name)


def scales_shape(grid):
    """The shape of the scales of an int8 kernel: one for each output, those in the padding of
    partial blocks included.
    """
    return (grid.gates, grid.columns, grid.block_shape[1])


def without_gradient(tensor):
    """`tensor`; asking for its gradient is a `LookupError` that says what to do."""
    return tf.raw_ops.PreventGradient(input=tensor, message=NO_GRADIENT)


def _outputs(packed):
    """The block column, over all gates, of each live block."""
    return tf.cast(packed.blocks, tf.int32) // packed.grid.rows


def _of_blocks(scales, packed):
    """The scales `[all block columns, columns of a block]` of each live block, `[live, 1, columns
    of a block]`.
    """
    return tf.gather(scales, _outputs(packed))[:, None, :]
