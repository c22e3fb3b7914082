"""Weights of fewer bits, for inference: bfloat16 and int8.

Small batches spend their time on reading weights, so weights of half or a quarter of the bytes are
faster, and smaller. Activations, sums and states stay float32: the native kernels widen weights in
registers. Beside int8 weights, what they are multiplied with may be int8 too (`activations="int8"`,
see `integer_reference.py`).

- **bfloat16** rounds each weight to 8 significant bits: a relative error of at most 2^-8.
- **int8** rounds each weight to a multiple of its output's *scale*: symmetric, to nearest, 127
  steps to the largest live weight of that output, an error of at most half a scale. There is one
  scale for each output of a gate, that is for each row of the transposed blocks in which the sums
  are formed, so that sums are scaled once at their end. docs/quantised.md has what finer scales
  would bring.

Quantised weights have no gradient. Train in float32, then `ksr.substitute(model, weights="int8")`.
"""

import numbers

import tensorflow as tf

from keras_sparse_rnn.ops import pairs
from keras_sparse_rnn.ops.packing import PackedKernel, checked_blocks, unpack
from keras_sparse_rnn.patterns import check_choice

WEIGHTS = ("float32", "bfloat16", "int8")
ACTIVATIONS = ("float32", "int8")
SMALLEST_RANGE, LARGEST_RANGE = 1e-30, 1e30  # what 127 / range and its inverse can be in float32
NO_GRADIENT = (
    "quantised weights (bfloat16, int8) are for inference, there is no gradient through them. "
    "Train the model with float32 weights and quantise it "
    'afterwards: keras_sparse_rnn.substitute(model, weights="int8"). To train other layers '
    "behind quantised ones, set `trainable = False` on those "
    "and on all layers before them"
)


def quantize(packed, weights, activations="float32"):
    """A packed kernel with weights of another type.

    >>> from keras_sparse_rnn.patterns import BlockGrid
    >>> grid = BlockGrid(inputs=2, units=2, gates=1, block_shape=(2, 2))
    >>> values, blocks = grid.pack(np.array([[1.27, -0.5], [0.634, 0.0]], "float32"))
    >>> quantize(PackedKernel(values, blocks, grid), "int8").values.numpy().tolist()
    [[[127, -127], [63, 0]]]

    Args:
        packed: `PackedKernel` with float values.
        weights: `"float32"`, `"bfloat16"` or `"int8"`.
        activations: `"int8"` makes int8 weights that an op of `activations="int8"` takes: two of an
            output that are added up in 16 bits have a sum of at most 129 (see `ops/pairs.py`). Only
            where large weights of one sign lie side by side the scale is larger for that.

    Returns:
        `PackedKernel` with `values` of that type and, for int8, `scales` float32 `[gates, block
        columns of a gate, columns of a block]`.

    Raises:
        ValueError: an argument is not as described.
    """
    check_choice(weights, WEIGHTS, "weights")
    check_activations(activations, weights)
    values = tf.convert_to_tensor(packed.values)
    if packed.scales is not None or not values.dtype.is_floating:
        raise ValueError(
            "`packed` must have float values, not quantised ones. Received: values of "
            f"{values.dtype.name}"
        )
    values = tf.cast(values, tf.float32)
    if weights != "int8":
        return packed._replace(values=tf.cast(values, weights))
    if activations == "int8":
        values, scales = pairs.rounded(packed._replace(values=values))
        return packed._replace(values=values, scales=scales)
    largest = tf.reduce_max(tf.abs(values), axis=1)
    scales = tf.math.unsorted_segment_max(
        largest, _outputs(packed), packed.grid.gates * packed.grid.columns
    )
    scales = tf.maximum(scales, 0.0) / 127.0  # of a column without a live block: 0
    steps = tf.math.divide_no_nan(values, _of_blocks(scales, packed))
    values = tf.cast(tf.clip_by_value(tf.round(steps), -127.0, 127.0), tf.int8)
    return packed._replace(values=values, scales=tf.reshape(scales, scales_shape(packed.grid)))


def check_activations(activations, weights):
    """Returns `activations`, the type of what weights are multiplied with, or raises a
    `ValueError`.
    """
    check_choice(activations, ACTIVATIONS, "activations")
    if activations == "int8" and weights != "int8":
        raise ValueError(
            '`activations` must be "float32" where weights are not int8, for integers are '
            "multiplied with integers. Received: "
            f"activations={activations!r}, weights={weights!r}"
        )
    return activations


def check_input_range(input_range, activations):
    """Returns `input_range`, the input that 127 stands for, as a float, or raises a
    `ValueError`.
    """
    number = isinstance(input_range, numbers.Real) and not isinstance(input_range, bool)
    if not number or not (input_range == 0 or SMALLEST_RANGE <= input_range <= LARGEST_RANGE):
        raise ValueError(
            "`input_range` must be the largest input in absolute value, a number from "
            f"{SMALLEST_RANGE:g} to {LARGEST_RANGE:g}; or 0, for that of each step. Received: "
            f"input_range={input_range!r}"
        )
    if input_range and activations != "int8":
        raise ValueError(
            '`input_range` must be 0 without `activations="int8"`, for inputs are not rounded '
            f"then. Received: input_range={input_range!r}, activations={activations!r}"
        )
    return float(input_range)


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
