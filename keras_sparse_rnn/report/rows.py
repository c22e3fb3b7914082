"""What is known of each kernel of a model, as a report shows it."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.layers import BlockSparseCell, BlockSparseDense
from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.layers.storage import packed_variables
from keras_sparse_rnn.selection import GATE_NAMES, find_kernels
from keras_sparse_rnn.substitution.block_shapes import best_block_shape


@dataclasses.dataclass(frozen=True)
class Row:
    """One kernel.

    Attributes:
        layer: the layer's name, with those around it.
        kernel: `"kernel"` or `"recurrent_kernel"`.
        block_shape: `(rows, columns)` of the blocks; of a Keras layer, the shape in which
            `ksr.substitute` would store its zeros. None if no block is zero.
        sparsity: fraction of the weights that are zero: those outside live blocks where the layer
            has blocks, single zeros elsewhere.
        bytes: of the weights as they are held, with the block numbers, and the scales of int8.
        dense_bytes: of the dense kernel.
        multiply_adds: that the layer does for one time step of one sequence.
        dense_multiply_adds: what the dense kernel takes.
        block_sparse: whether the layer computes live blocks only.
        gate_names: of the gates of a recurrent layer, `("i", "f", "c", "o")`; empty for `Dense`.
        live_blocks: how many blocks live in each gate; empty if `block_shape` is None.
        blocks: how many blocks each gate has, live or not.
        weights, activations, input_range: of a block-sparse layer, its arguments.
    """

    layer: str
    kernel: str
    block_shape: tuple | None
    sparsity: float
    bytes: int
    dense_bytes: int
    multiply_adds: int
    dense_multiply_adds: int
    block_sparse: bool = False
    gate_names: tuple = ()
    live_blocks: tuple = ()
    blocks: int = 0
    weights: str = "float32"
    activations: str = "float32"
    input_range: float = 0.0


def rows_of(model):
    """`(rows, counted)`: a list of `Row`, and the set of the ids of the variables that they are
    about.
    """
    rows, counted = [], set()
    for path, layer in _block_sparse_layers(model):
        rows += _of_layer(path, layer, counted)
    for kernel in find_kernels(model, lambda layer: True, strict=False):
        if id(kernel.variable) not in counted:
            counted.add(id(kernel.variable))
            rows.append(_of_variable(kernel))
    return rows, counted


def not_cut(model, counted):
    """The recurrent and `Dense` layers of `model` that have weights, but none of those `counted`:
    convolutions, or what Keras has quantized or given LoRA weights.
    """
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if isinstance(layer, (keras.layers.RNN, keras.layers.Dense))
        and layer.weights
        and not any(id(variable) in counted for variable in layer.weights)
    ]


def _block_sparse_layers(layer, path=()):
    if isinstance(layer, BlockSparseCell):
        layer = layer.layer
    if isinstance(layer, (BlockSparseRNN, BlockSparseDense)) and layer.built:
        yield "/".join(path or (layer.name,)), layer
        return
    for child in private_keras.inner_layers(layer, include_self=False, recursive=False):
        yield from _block_sparse_layers(child, (*path, child.name))


def _of_layer(path, layer, counted):
    names = ("kernel", "recurrent_kernel")[: len(layer.grids)]
    gate_names = next((names for types, names in GATE_NAMES if isinstance(layer, types)), ())
    owner = getattr(layer, "cell", layer)
    packed = layer.storage == "packed"
    for name, grid in zip(names, layer.grids):
        variables = packed_variables(owner, name) if packed else [getattr(owner, name)]
        if id(variables[0]) in counted:
            continue
        counted.update(map(id, variables))
        if packed:  # whose dense kernel may be larger than the machine
            live = np.zeros(grid.count, bool)
            live[grid.checked_blocks(variables[1].numpy(), f"{name}_blocks")] = True
        else:
            live = grid.live(variables[0].numpy()).ravel()
        is_float = layer.weights_choice == "float32"
        item = tf.as_dtype(variables[0].dtype).size if is_float else tf.float32.size
        size = math.prod(grid.kernel_shape)
        yield Row(
            path,
            name,
            grid.block_shape,
            grid.sparsity(live),
            sum(map(bytes_of, variables)),
            item * size,
            int(live.sum()) * grid.block_shape[0] * grid.block_shape[1],
            size,
            block_sparse=True,
            gate_names=gate_names,
            weights=layer.weights_choice,
            activations=layer.activations_choice,
            input_range=layer.input_range,
            **_blocks(grid, live),
        )


def _of_variable(kernel):
    weights = kernel.numpy()
    sparsity = 1 - np.count_nonzero(weights) / weights.size
    size = bytes_of(kernel.variable)
    # The cell of a layer of its own says nothing beside it; one of a stack tells it from the
    # others.
    alone = getattr(kernel.layer, "cell", None) is kernel.cell
    name = kernel.path.removesuffix(f"/{kernel.cell.name}") if alone else kernel.path
    block_shape = best_block_shape(weights, kernel.gates) if sparsity else None
    grid = kernel.grid(block_shape) if block_shape else None
    live = grid.live(weights) if grid else None
    if grid and live.all():
        block_shape = grid = None
    return Row(
        name,
        kernel.role,
        block_shape,
        float(sparsity),
        size,
        size,
        weights.size,
        weights.size,
        gate_names=tuple(filter(None, kernel.gate_names)),
        **(_blocks(grid, live) if grid else {}),
    )


def _blocks(grid, live):
    live = live.reshape(grid.shape)
    return {
        "live_blocks": tuple(int(count) for count in live.sum(axis=(1, 2))),
        "blocks": grid.columns * grid.rows,
    }


def bytes_of(variable):
    """The size of the weights of a variable."""
    return int(np.prod(variable.shape)) * tf.as_dtype(variable.dtype).size
