"""Layers that train at few bits (`low_precision`): what may take their place, and the integers that
they were trained with.
"""

import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import kernels
from keras_sparse_rnn.ops import pairs
from keras_sparse_rnn.substitution.kinds import is_block_sparse, owner_of

NAMES = ("kernel", "recurrent_kernel")


def precision_of(layer):
    """The `LowPrecision` of a layer; None if it has none."""
    return layer.low_precision if is_block_sparse(layer) else None


def check_twin(layer, weights="float32", activations="float32", low_precision=None, **_):
    """Raises a `ValueError` if a twin of `layer` with these arguments would compute something else
    than `layer` was trained for, or trains at few bits already.
    """
    own = precision_of(layer)
    if own is None:
        return
    if low_precision is not None:
        raise ValueError(
            "it trains at few bits already, and would be wrapped twice. To train it on at other "
            "bits, substitute it without `low_precision` first, which gives it the rounded "
            f"weights. Received: low_precision={low_precision!r} for a layer with {own!r}"
        )
    if own.activation_bits not in (None, 8) or (own.activation_bits and own.form == "affine"):
        raise ValueError(
            "no other layer rounds its inputs as this one was trained for. Only "
            '`activation_bits=8` with `form="linear"`, and `activation_bits=None`, can be had '
            f"elsewhere. Received: a layer with {own!r}"
        )
    if weights == "int8" and own.form == "affine":
        raise ValueError(
            'weights of `form="affine"` have offsets, which int8 weights have not: train with '
            '`form="linear"` for int8, or keep float32 weights. Received: '
            f"weights={weights!r} for a layer with {own!r}"
        )


def held_kernels(layer):
    """The kernels of a layer that trains at few bits without the blocks that it leaves out, not
    rounded, as NumPy arrays.
    """
    kept = [layer.low_precision.kept(packed) for packed in _trained(layer)]
    return tuple(ops.dense(packed, packed.values.dtype).numpy() for packed in kept)


def trained_integers(layer, index, packed, activations):
    """The integers and scales that a layer was trained with, in the blocks of another packing.

    Args:
        layer: the layer that trains at few bits, of the linear form.
        index: of the kernel.
        packed: `PackedKernel`, for its blocks and its grid.
        activations: `"int8"` if they are to keep the bound of pairs.

    Returns:
        `PackedKernel` of int8 values.

    Raises:
        ValueError: they do not keep it in these blocks.
    """
    found, grid = layer.low_precision.integers(_trained(layer)[index]), packed.grid
    integers = ops.unpack(tf.cast(found.values, tf.int32), found.blocks, found.grid)
    values = ops.pack(integers, packed.blocks, grid)
    width = grid.columns * grid.block_shape[1]
    scales = tf.reshape(found.scales, (grid.gates, -1))[:, : grid.units]
    scales = tf.pad(scales, ((0, 0), (0, width - grid.units)))
    packed = packed._replace(
        values=tf.cast(values, tf.int8),
        scales=tf.reshape(scales, (grid.gates, grid.columns, grid.block_shape[1])),
    )
    if activations == "int8" and pairs.largest_sum(packed) > pairs.MOST_OF_PAIR:
        raise ValueError(
            f"The integers of the {NAMES[index]} of {layer.name!r} do not keep the bound of int8 "
            "activations in these blocks: substitute it with the `block_shape` that it was trained "
            f"with. Received: blocks of {grid.block_shape} for {found.grid.block_shape}"
        )
    return packed


def _trained(layer):
    owner = owner_of(layer)
    return kernels.trained(layer, owner, NAMES[: len(layer.grids)], "float32")
