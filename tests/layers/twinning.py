"""A Keras layer and its block-sparse twin with the same random weights, of which whole blocks are
zero.
"""

import warnings

import keras
import numpy as np

from keras_sparse_rnn import layers, ops

PARENTS = {
    "lstm": (keras.layers.LSTM, layers.BlockSparseLSTM),
    "gru": (keras.layers.GRU, layers.BlockSparseGRU),
    "simple_rnn": (keras.layers.SimpleRNN, layers.BlockSparseSimpleRNN),
}
with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", RuntimeWarning
    )  # said once per process where there is no native library
    NATIVE = ops.native_available()
KERNELS = ("reference", "native") if NATIVE else ("reference",)
# Units and inputs that no block divides.
BATCH, TIME, INPUTS, UNITS = 5, 6, 7, 19


def random_weights(grids, bias_shape, seed=0):
    """Dense kernels with zero blocks, and a bias without zeros (None without a shape)."""
    generator = np.random.default_rng(seed)
    kernels = []
    for grid in grids:
        live = generator.random(grid.shape) < 0.5
        live.flat[generator.integers(grid.count)] = True
        kernels.append(
            (generator.normal(scale=0.4, size=grid.kernel_shape) * grid.expand(live)).astype(
                "float32"
            )
        )
    bias = (
        None
        if bias_shape is None
        else generator.normal(scale=0.5, size=bias_shape).astype("float32")
    )
    return kernels, bias


def set_dense_weights(layer, kernels, bias):
    """Gives a block-sparse layer, made by `twins`, the weights of its parent."""
    cell = layer.cell
    for name, grid, kernel in zip(("kernel", "recurrent_kernel"), layer.grids, kernels):
        if layer.storage == "masked":
            getattr(cell, name).assign(kernel)
        else:
            values, blocks = grid.pack(kernel)
            getattr(cell, f"{name}_values").assign(values)
            getattr(cell, f"{name}_blocks").assign(blocks)
    if bias is not None:
        cell.bias.assign(bias)


def twins(
    cell,
    storage="packed",
    kernel="reference",
    block_shape=(4, 8),
    recurrent_block_shape=(3, 5),
    seed=0,
    **arguments,
):
    """Returns `(keras layer, block-sparse layer)`, built for `[BATCH, TIME, INPUTS]`, with equal
    weights.
    """
    parent, twin = PARENTS[cell]
    shape = (BATCH, TIME, INPUTS)
    expected = parent(UNITS, **arguments)
    expected.build(shape)
    probe = twin(
        UNITS,
        block_shape,
        recurrent_block_shape=recurrent_block_shape,
        storage="masked",
        **arguments,
    )
    probe.build(shape)
    bias_shape = None if expected.cell.bias is None else tuple(expected.cell.bias.shape)
    kernels, bias = random_weights(probe.grids, bias_shape, seed)
    for variable, value in zip((expected.cell.kernel, expected.cell.recurrent_kernel), kernels):
        variable.assign(value)
    if bias is not None:
        expected.cell.bias.assign(bias)
    options = {
        "storage": storage,
        "kernel": kernel,
        "recurrent_block_shape": recurrent_block_shape,
        **arguments,
    }
    if storage == "packed":
        options["live_blocks"] = [
            int(grid.live(dense).sum()) for grid, dense in zip(probe.grids, kernels)
        ]
    layer = twin(UNITS, block_shape, **options)
    layer.build(shape)
    set_dense_weights(layer, kernels, bias)
    return expected, layer


def inputs(seed=0, inputs=INPUTS, batch=BATCH, time=TIME):
    return np.random.default_rng(seed).normal(size=(batch, time, inputs)).astype("float32")


def random_mask(seed=0):
    """One row all masked, one not at all, the others in the beginning, the middle and at the
    end.
    """
    mask = np.random.default_rng(seed).random((BATCH, TIME)) < 0.6
    mask[0], mask[1], mask[2, 0], mask[3, -1] = False, True, False, False
    return mask


def initial_state(layer, seed=1):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=(BATCH, UNITS)).astype("float32") for _ in layer.state_size]
