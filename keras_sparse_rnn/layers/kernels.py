"""The kernels of a block-sparse layer: how they are made, and which ones it computes with."""

import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import storage as storages
from keras_sparse_rnn.layers.adapters import MaskedRegularizer
from keras_sparse_rnn.layers.starts import fresh_blocks


def made(layer, owner, index, add_weight, *, name, shape, initializer, seed=None, **options):
    """Stands in for `add_weight` of a kernel, while `layer` is built.

    Args:
        layer: the block-sparse layer.
        owner: what owns its weights: the layer, or its cell.
        index: of the kernel in the layer's `grids`.
        add_weight: the method of `owner` that Keras calls.
        name, shape, initializer, options: what Keras calls it with.
        seed: of the choice of live blocks.

    Returns:
        The variable of a masked kernel; None of a packed one, whose variables `owner` has.

    Raises:
        ValueError: see `starts.fresh_blocks`.
    """
    grid = layer.grids[index]
    blocks = fresh_blocks(layer, name, index, grid, seed)
    if layer.storage == "masked":
        return storages.add_masked_weight(
            add_weight, name, grid, blocks, shape=shape, initializer=initializer, **options
        )
    options.update(
        initializer=initializer,
        weights=layer.weights_choice,
        activations=layer.activations_choice,
    )
    storages.add_packed_weights(owner, add_weight, name, grid, blocks, **options)
    return None


def trained(layer, owner, names, dtype, native=False, training=False):
    """The kernels called `names` as they are held, float ones in `dtype`: a list of
    `ops.PackedKernel`.

    `native`: whether the live blocks of masked kernels are looked for, instead of taking all.
    """
    if layer.storage == "packed":
        return [
            storages.packed_kernel(owner, name, grid, dtype, layer.weights_choice)
            for name, grid in zip(names, layer.grids)
        ]
    pairs = [(getattr(owner, name), grid) for name, grid in zip(names, layer.grids)]
    if layer.low_precision is not None and layer.low_precision.sparsity:
        return [_every_block(kernel, grid, dtype, training) for kernel, grid in pairs]
    return [storages.masked_kernel(kernel, grid, dtype, native, training) for kernel, grid in pairs]


def computed(layer, *arguments, **options):
    """Those of `trained` as the layer computes with them: rounded, if it trains at few bits."""
    kernels = trained(layer, *arguments, **options)
    if layer.low_precision is None:
        return kernels
    return [layer.low_precision.kernel(kernel) for kernel in kernels]


def dense(layer, owner, names, dtype):
    """What the layer, which computes in `dtype`, computes with as NumPy arrays, dead blocks zero: a
    tuple.
    """
    if layer.low_precision is not None:
        kernels = computed(layer, owner, names, dtype)
        return tuple(ops.dense(kernel, dtype).numpy() for kernel in kernels)
    if layer.storage == "masked":
        return tuple(getattr(owner, name).numpy() for name in names)
    return tuple(
        storages.dense_kernel(owner, name, grid, layer.weights_choice)
        for name, grid in zip(names, layer.grids)
    )


def _every_block(variable, grid, dtype, training):
    """A masked kernel with its dead blocks, which get a gradient."""
    blocks = np.arange(grid.count, dtype=np.int32)
    packed = ops.PackedKernel(ops.pack(tf.cast(variable, dtype), blocks, grid), blocks, grid)
    if training and isinstance(variable.regularizer, MaskedRegularizer):
        variable.regularizer.remember(packed)
    return packed
