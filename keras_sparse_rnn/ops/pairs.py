"""Two int8 weights whose products a processor may add up in 16 bits, and the bound that they keep.

With int8 activations, from 0 to 254 in an instruction that takes bytes without a sign, two products
fit into 16 bits if the sum of the two weights is at most 129 in absolute value: 254 * 129 < 2^15.
Two weights of one output are a pair if they are

- in rows 2k and 2k + 1 of the kernel, or
- in a kernel that is stored by single rows, at positions 2k and 2k + 1 of the list of the inputs
  that a column of 16 outputs of a gate has live blocks for. Where blocks have an even number of
  rows these are the same pairs, so that only others are looked at twice.

The C++ core (`native/core/prepared/quantize.cc`) bounds the pairs of the storage that it has
chosen; what this module makes suits any."""

import tensorflow as tf

from keras_sparse_rnn.ops.packing import pack, unpack

MOST, MOST_OF_PAIR = 127, 129
_COLUMN = 16  # outputs
_SMALLEST = 2.0**-126  # of float32's normal range: the core takes less for zero


def rounded(packed):
    """The weights of a float kernel as integers that keep the bound, and what 1 stands for.

    The scale of an output is the larger of max |w| / 127 and max |w + w'| / 129 over its pairs.
    Where both of a pair are rounded up nevertheless, the larger one gives way.

    Args:
        packed: `PackedKernel` of float values.

    Returns:
        int8 values `[live, block rows, block columns]` and float32 scales `[gates, block columns of
        a gate, block columns]`.
    """
    grid = packed.grid
    weights = unpack(packed.values, packed.blocks, grid)
    gates = [
        _rounded(tf.cast(tf.transpose(part), tf.float64), orders)
        for part, orders in zip(tf.split(weights, grid.gates, axis=1), _orders(packed))
    ]
    integers, scales = zip(*gates)
    values = pack(tf.concat([tf.transpose(part) for part in integers], 1), packed.blocks, grid)
    width = grid.block_shape[1]
    scales = tf.pad(tf.stack(scales), ((0, 0), (0, grid.columns * width - grid.units)))
    return tf.cast(values, tf.int8), tf.reshape(scales, (grid.gates, grid.columns, width))


def largest_sum(packed):
    """The largest sum of two int8 weights that are a pair, in absolute value; int32."""
    integers = unpack(tf.cast(packed.values, tf.int32), packed.blocks, packed.grid)
    sums = [
        tf.reduce_max(tf.abs(tf.reduce_sum(_paired(tf.transpose(part), order), axis=-1)))
        for part, orders in zip(tf.split(integers, packed.grid.gates, axis=1), _orders(packed))
        for order in orders
    ]
    return tf.reduce_max(tf.stack(sums))


def _rounded(weights, orders):
    """The integers `[units, inputs]` of the float64 weights of a gate, and float32 scales
    `[units]`.
    """
    scales = tf.reduce_max(tf.abs(weights), axis=1) / MOST
    for order in orders:
        sums = tf.abs(tf.reduce_sum(_paired(weights, order), axis=-1))
        scales = tf.maximum(scales, tf.reduce_max(sums, axis=1) / MOST_OF_PAIR)
    scales = tf.cast(scales, tf.float32)
    scales = tf.where(scales < _SMALLEST, tf.zeros_like(scales), scales)
    steps = tf.math.divide_no_nan(weights, tf.cast(scales, tf.float64)[:, None])
    integers = tf.cast(tf.clip_by_value(tf.round(steps), -MOST, MOST), tf.int32)
    for order in orders:
        integers = _given_way(integers, order)
    return integers, scales


def _given_way(integers, order):
    """The integers of which no pair sums up to more than the bound. Those that came from scaled
    weights are off by one at most.
    """
    pairs = _paired(integers, order)
    wide = tf.abs(tf.reduce_sum(pairs, axis=-1)) > MOST_OF_PAIR
    first = tf.abs(pairs[..., 0]) >= tf.abs(pairs[..., 1])
    larger = tf.stack([wide & first, wide & ~first], axis=-1)
    pairs = tf.where(larger, pairs - tf.sign(pairs), pairs)
    units, inputs = integers.shape
    integers = tf.reshape(pairs, (units, -1))[:, :inputs]
    return integers if order is None else _along(integers, tf.argsort(order))


def _paired(weights, order):
    """`[units, inputs]` as pairs `[units, pairs, 2]`, in the `order` of the inputs of each unit."""
    if order is not None:
        weights = _along(weights, order)
    units, inputs = weights.shape
    return tf.reshape(tf.pad(weights, ((0, 0), (0, inputs % 2))), (units, -1, 2))


def _along(weights, order):
    return tf.gather(weights, order, batch_dims=1)


def _orders(packed):
    """For each gate the orders in which the inputs of a unit are paired: None, that of the rows;
    and `[units, inputs]`, live inputs first, where these make other pairs.
    """
    grid = packed.grid
    if grid.block_shape[0] % 2 == 0:
        return [[None]] * grid.gates
    live = tf.ones(tf.shape(packed.values), tf.int32)
    live = tf.reshape(unpack(live, packed.blocks, grid), (grid.inputs, grid.gates, grid.units))
    live = tf.pad(tf.transpose(live, (1, 2, 0)), ((0, 0), (0, -grid.units % _COLUMN), (0, 0)))
    live = tf.reduce_max(tf.reshape(live, (grid.gates, -1, _COLUMN, grid.inputs)), axis=2)
    order = tf.argsort(live, axis=-1, direction="DESCENDING", stable=True)
    order = tf.repeat(order, _COLUMN, axis=1)[:, : grid.units]
    return [[None, one] for one in tf.unstack(order)]
