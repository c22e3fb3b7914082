"""Which kernels of a model are pruned, each in the group of its schedule."""

import dataclasses
import warnings

import keras

from keras_sparse_rnn import criteria, schedules
from keras_sparse_rnn.patterns import Pattern, fitted_block_shape
from keras_sparse_rnn.pruning.group import PruningGroup
from keras_sparse_rnn.pruning.masks import KernelMask
from keras_sparse_rnn.pruning.pattern_group import PatternGroup
from keras_sparse_rnn.pruning.regrowing_group import RegrowingGroup
from keras_sparse_rnn.selection import find_kernels, matches


@dataclasses.dataclass(frozen=True)
class Options:
    """How kernels are pruned: the arguments of `BlockPruning` that a `PruningGroup` follows.

    Raises:
        ValueError: arguments exclude each other.
    """

    block_shape: tuple | None
    criterion: criteria.Criterion
    frequency: int = 100
    scope: str | None = "gate"
    keep_diagonal: bool = False
    minimum_density: float = 0.0
    regrowth: object = None
    pattern: Pattern | None = None
    optimizer: keras.optimizers.Optimizer | None = None

    def __post_init__(self):
        if self.pattern is None:
            return
        others = {
            "block_shape": None,
            "keep_diagonal": False,
            "minimum_density": 0.0,
            "regrowth": None,
        }
        for name, value in others.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"`{name}` must be left out where there is a `pattern`, which says itself "
                    f"which weights live. Received: {name}={getattr(self, name)!r}, "
                    f"pattern={self.pattern!r}"
                )


def find_groups(model, schedule, layers, options):
    """The `PruningGroup`s of a model.

    Args:
        model: a built model.
        schedule: a schedule, or a mapping from selectors of layers to schedules.
        layers: which layers, as in `find_kernels`; of a mapping, those that it names.
        options: `Options`.

    Raises:
        ValueError: the model has nothing that can be pruned as asked.

    Warns:
        UserWarning: selected layers are frozen, or blocks are larger than the kernel of one gate.
    """
    mapping = schedule if isinstance(schedule, dict) else {None: schedule}
    kernels = trainable_kernels(model, list(mapping) if mapping is schedule else layers, "pruned")
    if options.pattern is not None:
        kernels = _of_pattern(kernels, options.pattern)
        shapes = dict.fromkeys(map(id, kernels), options.pattern.block_shape)
    else:
        shapes = _fitted(kernels, options.block_shape)
    groups = []
    for selector, one in mapping.items():
        own = [kernel for kernel in kernels if selector is None or matches(selector, kernel)]
        kernels = [kernel for kernel in kernels if kernel not in own]
        masks = [KernelMask(kernel, shapes[id(kernel)], options.keep_diagonal) for kernel in own]
        if masks:
            scope = options.scope or default_scope(own)
            groups.append(_kind(options)(schedules.get(one), masks, options, model, scope=scope))
    return groups


def _kind(options):
    """The class of the groups."""
    if options.pattern is not None:
        return PatternGroup
    return PruningGroup if options.regrowth is None else RegrowingGroup


def _of_pattern(kernels, pattern):
    """The `kernels` of which the pattern says something.

    Raises:
        ValueError: it is of none, or of one of other sizes.
    """
    found = [kernel for kernel in kernels if pattern.concerns(kernel)]
    if not found:
        raise ValueError(
            f"`layers` must have a kernel that the pattern is for. Received: {pattern!r}, and "
            f"{', '.join(kernel.name for kernel in kernels)}"
        )
    return found


def _fitted(kernels, block_shape):
    """The block shape of each kernel, by the `id` of its record: none larger than the kernel of one
    gate of its layer (an input kernel of few rows has partial blocks).

    Warns:
        UserWarning: some are cut.
    """
    of_layers = {}
    for kernel in kernels:
        if kernel.role == "recurrent_kernel" or isinstance(kernel.cell, keras.layers.Dense):
            sizes = kernel.inputs, kernel.units
            of_layers[id(kernel.cell)] = kernel, fitted_block_shape(block_shape, sizes)
    cut = [
        f"{kernel.path} in {shape}" + (", one block a gate" if shape == sizes else "")
        for kernel, shape in of_layers.values()
        if shape != block_shape
        for sizes in [(kernel.inputs, kernel.units)]
    ]
    if cut:
        warnings.warn(
            f"Blocks of {block_shape} are larger than one gate of these kernels, which are cut in "
            f"smaller ones: {'; '.join(cut)}. Give `block_shape` for the smallest layer, or leave "
            "small layers out with `layers`",
            stacklevel=3,
        )
    return {
        id(kernel): of_layers[id(kernel.cell)][1] if id(kernel.cell) in of_layers else block_shape
        for kernel in kernels
    }


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
