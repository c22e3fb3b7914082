"""One layer at a time: the block-sparse twin of a Keras layer, and which variable carries over to
which.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import BlockSparseCell
from keras_sparse_rnn.layers.storage import is_initial
from keras_sparse_rnn.patterns import BlockGrid, fitted_block_shape
from keras_sparse_rnn.substitution import few_bits
from keras_sparse_rnn.substitution.block_shapes import best_block_shape
from keras_sparse_rnn.substitution.kinds import (
    CELL_TWINS,
    PARENTS,
    is_block_sparse,
    is_cell,
    is_recurrent,
    owner_of,
    parent_arguments,
    stepped,
    twin_class,
)

KERNELS = ("kernel", "recurrent_kernel")
# Arguments that may be layers, with weights of their own.
LAYER_ARGUMENTS = (
    "activation",
    "recurrent_activation",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
)


class Transfer(NamedTuple):
    """One variable of an old layer, its counterpart in the new layer, and what makes a value of the
    one a value of the other.

    `convert` is a function of NumPy arrays; it holds for the weight and for what an optimiser keeps
    per weight. None: the value itself. `quantized`: one of the two is quantised, so neither an
    optimiser's memory nor whether it can be trained carries over.
    """

    old: keras.Variable
    new: keras.Variable
    convert: Callable | None = None
    quantized: bool = False


def dense_kernels(layer):
    """The kernels of a built Keras or block-sparse layer as NumPy arrays `[inputs, gates *
    units]`.
    """
    if is_block_sparse(layer):
        return layer.dense_kernels()
    return tuple(variable.numpy() for variable in kernel_variables(layer))


def patterns(layer):
    """Arrays of the shapes of `dense_kernels(layer)` whose blocks of zeros are those that a twin
    leaves out.

    They are the kernels themselves (before they are rounded to few bits), unless one is all zero or
    a multiple of the identity: an initializer gives that, and weights that training has not reached
    yet must not be lost. Then every block counts as live, or those that a packed `layer` has.
    """
    found = []
    few = few_bits.precision_of(layer) is not None
    for index, kernel in enumerate(few_bits.held_kernels(layer) if few else dense_kernels(layer)):
        if is_initial(kernel):
            live = np.ones(kernel.shape, bool)
            if is_packed(layer):
                grid = layer.grids[index]
                live = np.zeros(grid.count, bool)
                live[block_variables(layer)[index].numpy()] = True
                live = grid.expand(live.reshape(grid.shape))
            kernel = live.astype(kernel.dtype)
        found.append(kernel)
    return found


def block_sparse_twin(layer, block_shape, storage, kernel, **quantization):
    """The block-sparse layer that computes what `layer` computes, not built yet, and whether any of
    its blocks is zero.

    Args:
        layer: a built layer for which `has_twin` holds.
        block_shape: `(rows, columns)`, or None: that of a layer that is block-sparse already, else
            the best one for each kernel.
        storage, kernel, quantization: arguments of the new layer, the last one `weights`,
            `activations`, `input_range` and `low_precision`.

    Returns:
        `(twin, sparse)`.

    Raises:
        ValueError: the twin cannot compute what `layer`, which trains at few bits, does.
    """
    whole = stepped(layer)
    few_bits.check_twin(whole, **quantization)
    twin = twin_class(layer)
    gates = twin.gates
    kernels = patterns(whole)
    shapes = _block_shapes(whole, kernels, gates, block_shape)
    grids = [
        BlockGrid(dense.shape[0], dense.shape[1] // gates, gates, shape)
        for dense, shape in zip(kernels, shapes)
    ]
    live = [int(grid.live(dense).sum()) for grid, dense in zip(grids, kernels)]
    config = parent_arguments(whole)
    config.update(block_shape=shapes[0], storage=storage, kernel=kernel, **quantization)
    if len(shapes) > 1 and shapes[1] != shapes[0]:
        config["recurrent_block_shape"] = shapes[1]
    if storage == "packed":
        config["live_blocks"] = live
    made = twin(**config)
    if is_cell(layer):
        made = BlockSparseCell(made, name=layer.name, trainable=layer.trainable)
    return made, any(count < grid.count for count, grid in zip(live, grids))


def keras_twin(layer):
    """The plain Keras layer that computes what the block-sparse `layer` computes, not built yet:
    LSTM, GRU or SimpleRNN, also if it was made of an RNN around a cell; of a cell the Keras cell.

    Raises:
        ValueError: `layer` trains at few bits, and the Keras layer would compute something else.
    """
    whole = stepped(layer)
    few_bits.check_twin(whole)
    arguments = parent_arguments(whole)
    if not is_cell(layer):
        return PARENTS[type(layer)](**arguments)
    (parent,) = (cell for cell, twin in CELL_TWINS.items() if twin is type(whole))
    taken = (*whole.cell.get_config(), "implementation")
    arguments["name"] = layer.name
    return parent(**{name: value for name, value in arguments.items() if name in taken})


def why_slow(twin):
    """Why a layer would run on the reference though there is a native library, or None."""
    return stepped(twin).why_not_native() if ops.native_available() else None


def transfers(old, new):
    """What carries over from `old` to `new`, twins of each other (or of one kind), both built. Sets
    the block numbers of `new`.

    Returns:
        List of `Transfer`.
    """
    old, new = stepped(old), stepped(new)
    pairs = [
        pair
        for index, pattern in enumerate(patterns(old))
        for pair in _kernel_transfers(old, new, index, pattern)
    ]
    if owner_of(old).use_bias:
        pairs.append(Transfer(owner_of(old).bias, owner_of(new).bias))
    pairs += argument_transfers(old, new)
    if is_recurrent(old):
        seeds = [owner_of(one).seed_generator.state for one in (old, new)]
        pairs.append(Transfer(*seeds))
    if isinstance(old, keras.layers.RNN) and isinstance(new, keras.layers.RNN):
        pairs.extend(Transfer(*states) for states in zip(old.states or (), new.states or ()))
    return pairs


def argument_transfers(old, new):
    """What carries over between the arguments of two layers that are layers themselves, a `PReLU`
    or a regularizer with weights: a list of `Transfer`, none for what both share.
    """
    arguments = [
        [getattr(owner_of(one), name, None) for one in (old, new)] for name in LAYER_ARGUMENTS
    ]
    return [
        Transfer(*variables)
        for one, other in arguments
        if isinstance(one, keras.Layer) and one is not other
        for variables in zip(one.variables, other.variables)
    ]


def _kernel_transfers(old, new, index, pattern):
    """The transfer of one kernel, whichever of plain, masked, packed and quantised either side is;
    and that of the scales of int8.
    """
    steps = []
    if _is_rounded(old):
        steps.append(lambda array: old.dense_kernels()[index])
    elif is_packed(old):
        old_grid, old_blocks = old.grids[index], block_variables(old)[index].numpy()
        name = f"{KERNELS[index]}_blocks"
        steps.append(lambda array: old_grid.unpack(array, old_blocks, name))
    if is_block_sparse(new):
        grid = new.grids[index]
        live = grid.live(pattern)
        if new.storage == "packed":
            blocks = np.flatnonzero(live).astype(np.int32)
            block_variables(new)[index].assign(blocks)
            steps.append(lambda array: grid.pack(array, blocks)[0])
        else:
            # An optimiser's memory of a dead block would bring it back to life.
            steps.append(
                lambda array: np.where(grid.expand(live), array, np.zeros((), array.dtype))
            )
    old_variable, new_variable = kernel_variables(old)[index], kernel_variables(new)[index]
    if not _is_quantized(new):
        return [
            Transfer(
                old_variable, new_variable, in_turn(steps) if steps else None, _is_rounded(old)
            )
        ]

    def quantize(values):
        packed = ops.PackedKernel(values, blocks, grid)
        if few_bits.precision_of(old) is not None and new.weights_choice == "int8":
            return few_bits.trained_integers(old, index, packed, new.activations_choice)
        return ops.quantize(packed, new.weights_choice, new.activations_choice)

    pairs = [
        Transfer(
            old_variable,
            new_variable,
            in_turn([*steps, quantize, lambda packed: packed.values]),
            True,
        )
    ]
    if new.weights_choice == "int8":
        scales = getattr(owner_of(new), f"{KERNELS[index]}_scales")
        pairs.append(
            Transfer(
                old_variable,
                scales,
                in_turn([*steps, quantize, lambda packed: packed.scales]),
                True,
            )
        )
    return pairs


def in_turn(steps):
    """A function that applies several, one after another."""

    def convert(array):
        for step in steps:
            array = step(array)
        return array

    return convert


def _is_quantized(layer):
    return is_block_sparse(layer) and layer.weights_choice != "float32"


def _is_rounded(layer):
    """Whether it computes with other numbers than those of its variables."""
    return _is_quantized(layer) or few_bits.precision_of(layer) is not None


def is_packed(layer):
    """Whether a layer owns the live blocks of its kernels only."""
    return is_block_sparse(layer) and layer.storage == "packed"


def kernel_variables(layer):
    """The variables of the kernels: dense ones, or packed values."""
    return [
        getattr(owner_of(layer), f"{name}_values" if is_packed(layer) else name)
        for name in _names(layer)
    ]


def block_variables(layer):
    """The variables of the block numbers of a packed layer, in the order of `kernel_variables`."""
    return [getattr(owner_of(layer), f"{name}_blocks") for name in _names(layer)]


def _names(layer):
    return KERNELS if is_recurrent(layer) else KERNELS[:1]


def _block_shapes(layer, kernels, gates, block_shape):
    if block_shape is not None:
        units = kernels[0].shape[1] // gates
        if len(kernels) == 1:
            return [fitted_block_shape(block_shape, kernels[0].shape)]
        first = fitted_block_shape(block_shape, (block_shape[0], units))
        return [first, fitted_block_shape(block_shape, (units, units))]
    if is_block_sparse(layer):
        recurrent = getattr(layer, "recurrent_block_shape", None) or layer.block_shape
        return [layer.block_shape, recurrent][: len(kernels)]
    return [best_block_shape(dense, gates) for dense in kernels]
