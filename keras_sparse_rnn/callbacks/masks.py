"""One kernel under a mask while it is trained.

The mask is a constraint on the layer's own kernel variable. Keras calls the constraint inside the compiled training
step, after each weight update, so a pruned block is zero again before anybody can see or save the weights. Nothing is
wrapped or cloned: when training is over the variable has its former constraint back and the model is the plain Keras
model that it was.
"""

import keras
import numpy as np

from keras_sparse_rnn.selection import to_numpy


class MaskConstraint(keras.constraints.Constraint):
    """Applies an `existing` constraint, if any, and then a mask.

    The moving averages that an optimizer with `use_ema=True` keeps are updated before constraints are called, from
    weights that are not masked yet; so the constraint masks them too, in the same step.

    Args:
        existing: the constraint that the variable had, or `None`.
        mask: bool `keras.Variable` of the kernel's shape, False where the weight is pruned.
        averages: a function that returns the moving averages of the kernel, a list of variables.
        owner: the callback that put it there.
        run: what all callbacks of one `fit` share, or `None` outside `fit`.
    """

    def __init__(self, existing, mask, averages, owner, run):
        self.existing, self.mask, self.averages = existing, mask, averages
        self.owner, self.run = owner, run

    def __call__(self, weights):
        if self.existing is not None:
            weights = self.existing(weights)
        for average in self.averages():
            average.assign(self._masked(average))
        return self._masked(weights)

    def _masked(self, weights):
        weights = keras.ops.convert_to_tensor(weights)
        return keras.ops.where(self.mask, weights, keras.ops.zeros_like(weights))


class MaskedKernel:
    """A kernel, the grid that cuts it into blocks, and the blocks of it that live.

    Args:
        kernel: the `Kernel` record.
        block_shape: `(rows, columns)` of a block.
        keep_diagonal: whether the blocks that touch the diagonal of a gate of a recurrent kernel are protected.
    """

    def __init__(self, kernel, block_shape, keep_diagonal):
        self.kernel = kernel
        self.name = kernel.name
        self.grid = kernel.grid(block_shape)
        self.live = np.ones(self.grid.shape, bool)
        diagonal = keep_diagonal and kernel.role == "recurrent_kernel"
        self.protected = self.grid.live(_diagonal(self.grid)) if diagonal else np.zeros(self.grid.shape, bool)
        self.constraint = None
        self._averages = lambda: []

    def check_free(self, owner, run):
        """Raises a `ValueError` if another callback of the same run has masked the kernel."""
        other = self.kernel.variable.constraint
        if isinstance(other, MaskConstraint) and other.owner is not owner and run is not None and other.run is run:
            raise ValueError(
                "`layers` of the BlockPruning callbacks of one training must not overlap, but two of them prune "
                f"{self.name}. Received: {other.owner!r} and {owner!r}"
            )

    def install(self, model, owner, run):
        """Puts the mask on the variable. What a run that broke off has left there is replaced."""
        variable = self.kernel.variable
        existing = variable.constraint
        if isinstance(existing, MaskConstraint):
            existing = existing.existing
        with model.distribute_strategy.scope():
            mask = keras.Variable(
                np.ones(self.grid.kernel_shape, bool), dtype="bool", trainable=False, name="block_mask"
            )
        self._averages = lambda: moving_averages(model.optimizer, variable)
        self.constraint = variable.constraint = MaskConstraint(existing, mask, self._averages, owner, run)

    def restore(self):
        """Gives the variable its former constraint back."""
        if self.constraint is not None and self.kernel.variable.constraint is self.constraint:
            self.kernel.variable.constraint = self.constraint.existing
        self.constraint = None

    def pattern(self, pruned_before):
        """Which blocks of the weights live now: the mask of a model that was pruned before.

        All zero and the identity are what initializers give, not patterns: then all blocks live, unless the kernel was
        `pruned_before`.
        """
        weights = self.kernel.numpy()
        if not pruned_before and _is_initial(weights):
            return np.ones(self.grid.shape, bool)
        return self.grid.live(weights)

    def apply(self, live):
        """Makes `live` the mask, and zeroes the other blocks of the weights and their moving averages."""
        keep = self.grid.expand(live)
        self.live = live
        self.constraint.mask.assign(keep)
        for variable in [self.kernel.variable, *self._averages()]:
            weights = to_numpy(variable)
            if weights[~keep].any():
                variable.assign(np.where(keep, weights, np.zeros((), weights.dtype)))


def moving_averages(optimizer, variable):
    """The averages of `variable` that `optimizer`, or one inside it, keeps under `use_ema`; none before it is built."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    found = []
    for one in getattr(optimizer, "optimizers", [optimizer]):
        pairs = zip(getattr(one, "_trainable_variables", ()), getattr(one, "_model_variables_moving_average", ()))
        found += [average for known, average in pairs if known is variable and average is not None]
    return found


def drop_lowest(live, scores, elements, protected, sparsity):
    """Drops the lowest of the blocks that still live until `sparsity` is reached, and returns which live then.

    Dropping stops when no more than half a block, of the largest size, is missing. That depends on what has been
    dropped and not on what the weights are, so asking again later for the same sparsity drops nothing: a resumed run
    can repeat its last mask at any time.

    Args:
        live, scores, elements, protected: arrays of one shape; `protected` blocks are not dropped.
        sparsity: a fraction in [0, 1).

    Returns:
        bool array of that shape.

    Raises:
        ValueError: the sparsity cannot be reached because of the protected blocks.
    """
    shape = np.shape(live)
    live, scores, elements, protected = (np.ravel(array) for array in (live, scores, elements, protected))
    goal, tolerance = missing(live, elements, sparsity)
    candidates = np.flatnonzero(live & ~protected)
    order = candidates[np.argsort(scores[candidates], kind="stable")]
    dropped_before = np.cumsum(elements[order]) - elements[order]
    dropped = order[goal - dropped_before > tolerance]
    if goal - elements[dropped].sum() > tolerance:
        raise ValueError(
            "`keep_diagonal` protects more than the sparsity allows: "
            f"{np.count_nonzero(protected & live)} of {live.size} blocks are kept. Received: sparsity={sparsity}"
        )
    live = live.copy()
    live[dropped] = False
    return live.reshape(shape)


def missing(live, elements, sparsity):
    """How many weights are still to be dropped for `sparsity`, and half a block, up to which it counts as reached."""
    return sparsity * elements.sum() - elements[~live].sum(), elements.max() / 2


def _diagonal(grid):
    """A kernel that is one on the diagonal of each gate and zero elsewhere."""
    return np.tile(np.eye(grid.inputs, grid.units, dtype=bool), (1, grid.gates))


def _is_initial(weights):
    """Whether the weights are all zero or a multiple of the identity: one value on the diagonal, nothing beside it."""
    diagonal = np.diagonal(weights)
    return np.count_nonzero(weights) == np.count_nonzero(diagonal) and bool((diagonal == diagonal[0]).all())
