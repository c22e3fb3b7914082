"""One kernel under a mask while it is trained.

The mask is a constraint on the layer's own kernel variable. Keras calls the constraint inside the
compiled training step, after each weight update, so a pruned block is zero again before anybody can
see or save the weights. Nothing is wrapped or cloned: when training is over the variable has its
former constraint back and the model is the plain Keras model that it was."""

import keras
import numpy as np

from keras_sparse_rnn.layers.storage import is_initial
from keras_sparse_rnn.selection import to_numpy
from keras_sparse_rnn.slots import moving_averages


class MaskConstraint(keras.constraints.Constraint):
    """Applies an `existing` constraint, if any, and then a mask.

    The moving averages that an optimizer with `use_ema=True` keeps are updated before constraints
    are called, from weights that are not masked yet; so the constraint masks them too, in the same
    step.

    Args:
        existing: the constraint that the variable had, or `None`.
        mask: bool `keras.Variable` of the kernel's shape, False where the weight is pruned.
        averages: a function that returns the moving averages of the kernel, a list of variables.
        owner: the callback that put it there.
        training: the `Training` in which it masks; in another one, it is taken off. `None`: it
            always masks.
    """

    def __init__(self, existing, mask, averages, owner, training):
        self.existing, self.mask, self.averages = existing, mask, averages
        self.owner, self.training = owner, training

    def __call__(self, weights):
        if self.existing is not None:
            weights = self.existing(weights)
        if self.training is not None and self.training.is_over():
            self.owner.leave()
            return weights
        for average in self.averages():
            average.assign(self._masked(average))
        return self._masked(weights)

    def _masked(self, weights):
        weights = keras.ops.convert_to_tensor(weights)
        return keras.ops.where(
            self.mask, weights, keras.ops.zeros((), weights.dtype)
        )  # a whole kernel of zeros takes time, too


class MaskedKernel:
    """A kernel, the grid that cuts it into blocks, and the blocks of it that live.

    Args:
        kernel: the `Kernel` record.
        block_shape: `(rows, columns)` of a block.
        keep_diagonal: whether the blocks that touch the diagonal of a gate of a recurrent kernel
            are protected.
    """

    def __init__(self, kernel, block_shape, keep_diagonal):
        self.kernel = kernel
        self.name = kernel.name
        self.grid = kernel.grid(block_shape)
        self.live = np.ones(self.grid.shape, bool)
        diagonal = keep_diagonal and kernel.role == "recurrent_kernel"
        self.protected = (
            self.grid.live(_diagonal(self.grid)) if diagonal else np.zeros(self.grid.shape, bool)
        )
        self.constraint = None
        self.newborn = None
        self._averages = lambda: []

    def check_free(self, owner, training):
        """Raises a `ValueError` if another callback of the same `fit` has masked the kernel."""
        other = self.kernel.variable.constraint
        if isinstance(other, MaskConstraint) and other.owner is not owner and training.in_fit:
            if training.is_same(other.training):
                raise ValueError(
                    "`layers` of the BlockPruning callbacks of one training must not overlap, but "
                    f"two of them prune {self.name}. Received: {_selectors(other.owner)} and "
                    f"{_selectors(owner)}"
                )

    def install(self, model, owner, training):
        """Puts the mask on the variable. What a run that broke off has left there is replaced."""
        variable = self.kernel.variable
        existing = variable.constraint
        if isinstance(existing, MaskConstraint):
            existing = existing.existing
        with model.distribute_strategy.scope():
            mask = keras.Variable(
                np.ones(self.grid.kernel_shape, bool),
                dtype="bool",
                trainable=False,
                name="block_mask",
            )
        self._averages = lambda: moving_averages(model.optimizer, variable)
        self.constraint = variable.constraint = MaskConstraint(
            existing, mask, self._averages, owner, training
        )

    def restore(self):
        """Gives the variable its former constraint back."""
        if self.constraint is not None and self.kernel.variable.constraint is self.constraint:
            self.kernel.variable.constraint = self.constraint.existing
        self.constraint = None

    def pattern(self, pruned_before):
        """Which blocks of the weights live now: the mask of a model that was pruned before.

        All zero and the identity are what initializers give, not patterns: then all blocks live,
        unless the kernel was `pruned_before`.
        """
        weights = self.kernel.numpy()
        if not pruned_before and bool(is_initial(weights)):
            return np.ones(self.grid.shape, bool)
        return self.grid.live(weights)

    def apply(self, live):
        """Makes `live` the mask, and zeroes the other blocks of the weights and their moving
        averages.

        Where there is `newborn`, an array of the kernel's shape, the blocks that have come back
        begin with its values.
        """
        keep = self.grid.expand(live)
        if self.newborn is not None:
            back, variable = keep & ~self.grid.expand(self.live), self.kernel.variable
            variable.assign(np.where(back, self.newborn, to_numpy(variable)))
            self.newborn = None
        self.live = live
        self.constraint.mask.assign(keep)
        for variable in [self.kernel.variable, *self._averages()]:
            weights = to_numpy(variable)
            if weights[~keep].any():
                variable.assign(np.where(keep, weights, np.zeros((), weights.dtype)))


def _selectors(callback):
    """Which layers a `BlockPruning` selects, as it was told."""
    if isinstance(callback.schedule, dict):
        return f"schedule of {list(callback.schedule)!r}"
    return f"layers={callback.layers!r}"


def _diagonal(grid):
    """A kernel that is one on the diagonal of each gate and zero elsewhere."""
    return np.tile(np.eye(grid.inputs, grid.units, dtype=bool), (1, grid.gates))
