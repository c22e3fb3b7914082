"""Which kernels of a model a `BlockPruning` prunes, each in the group of its schedule."""

import warnings

import keras

from keras_sparse_rnn import schedules
from keras_sparse_rnn.callbacks.masks import MaskedKernel
from keras_sparse_rnn.callbacks.pruning_group import PruningGroup
from keras_sparse_rnn.callbacks.regrowth import RegrowingGroup
from keras_sparse_rnn.patterns import check_block_fits
from keras_sparse_rnn.selection import find_kernels, matches


def find_groups(pruning, criterion):
    """The `PruningGroup`s of the callback `pruning` and the model that it was given; `criterion`
    scores their blocks.

    Raises:
        ValueError: the model has nothing that can be pruned as the callback says.

    Warns:
        UserWarning: selected layers are frozen.
    """
    mapping = pruning.schedule if isinstance(pruning.schedule, dict) else {None: pruning.schedule}
    layers = list(mapping) if isinstance(pruning.schedule, dict) else pruning.layers
    kernels = trainable_kernels(pruning.model, layers, "pruned")
    for kernel in kernels:
        if kernel.role == "recurrent_kernel" or isinstance(kernel.cell, keras.layers.Dense):
            check_block_fits(pruning.block_shape, (kernel.inputs, kernel.units), kernel.name)
    groups = []
    for selector, schedule in mapping.items():
        own = [kernel for kernel in kernels if selector is None or matches(selector, kernel)]
        kernels = [kernel for kernel in kernels if kernel not in own]
        masked = [
            MaskedKernel(kernel, pruning.block_shape, pruning.keep_diagonal) for kernel in own
        ]
        if masked:
            options = {
                "scope": pruning.scope or default_scope(own),
                "frequency": pruning.frequency,
                "floor": pruning.minimum_density,
            }
            arguments = schedules.get(schedule), masked, criterion, pruning.model
            if pruning.regrowth is None:
                groups.append(PruningGroup(*arguments, **options))
            else:
                groups.append(RegrowingGroup(*arguments, regrowth=pruning.regrowth, **options))
    return groups


def default_scope(kernels):
    """The scope of `scope=None`: all is compared, unless there are GRUs, whose reset gates may lose
    nearly everything then.
    """
    return "gate" if any(kernel.gates == 3 for kernel in kernels) else "model"


def trainable_kernels(model, layers, done):
    """The kernels of the selected layers that are not frozen.

    Args:
        model, layers: as in `find_kernels`.
        done: what is to be done to them, a participle.

    Raises:
        ValueError: there are none.

    Warns:
        UserWarning: some are frozen.
    """
    kernels = find_kernels(model, layers)
    frozen = ", ".join(
        dict.fromkeys(kernel.path for kernel in kernels if not kernel.variable.trainable)
    )
    kernels = [kernel for kernel in kernels if kernel.variable.trainable]
    if not kernels:
        raise ValueError(
            f"`layers` must have a trainable layer that can be {done}. Received: only frozen "
            f"ones, {frozen}"
        )
    if frozen:
        warnings.warn(
            f"These selected layers are frozen (trainable=False) and are not {done}: {frozen}",
            stacklevel=3,
        )
    return kernels
