"""One kernel under a mask while it is trained.

The mask is a constraint on the layer's own kernel variable. Keras calls the constraint inside the
compiled training step, after each weight update, so a pruned block is zero again before anybody can
see or save the weights. Nothing is wrapped or cloned: when training is over the variable has its
former constraint back and the model is the plain Keras model that it was.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.layers.storage import is_initial
from keras_sparse_rnn.pruning.train_function import TrainFunction
from keras_sparse_rnn.selection import to_numpy
from keras_sparse_rnn.slots import moving_averages


class MaskConstraint(keras.constraints.Constraint):
    """Applies an `existing` constraint, if any, and then a mask.

    The averages that an optimizer with `use_ema=True`, or an `AveragedSGD`, keeps are updated
    before constraints are called, from weights that are not masked yet; so the constraint masks
    them too, in the same step.

    Args:
        existing: the constraint that the variable had, or `None`.
        mask: bool `keras.Variable` of the kernel's shape, False where the weight is pruned.
        averages: a function that returns the moving averages of the kernel, a list of variables.
        participant: the callback that put it there.
        training: the `Training` in which it masks; in another one, it is taken off. `None`: it
            always masks.

    Attributes:
        variable: the variable that it is for.
        holder: the `KernelMask` that has put it there.
    """

    variable = holder = None

    def __init__(self, existing, mask, averages, participant, training):
        self.existing, self.mask, self.averages = existing, mask, averages
        self.participant, self.training = participant, training

    def __call__(self, weights):
        if self.existing is not None:
            weights = self.existing(weights)
        if self.training is not None and self.training.is_over():
            self.participant.send_away()
            return weights
        for average in self.averages():
            average.assign(self._masked(average))
        return self._masked(weights)

    def _masked(self, weights):
        weights = keras.ops.convert_to_tensor(weights)
        zero = keras.ops.zeros((), weights.dtype)  # a whole kernel of zeros takes time, too
        return keras.ops.where(self.mask, weights, zero)


class KernelMask:
    """A kernel, the grid that cuts it into blocks, and the blocks of it that live.

    Args:
        kernel: the `selection.Kernel` record.
        block_shape: `(rows, columns)` of a block.
        keep_diagonal: whether the blocks that touch the diagonal of a gate of a recurrent kernel
            are protected.

    Attributes:
        grid: the `BlockGrid`.
        live: bool `[gates, columns, rows]`.
        dead: how many weights of the kernel are pruned.
        elements: how many it has.
        protected: bool, the blocks that are never pruned.
        constraint: the `MaskConstraint` on the variable, or None.
        optimizers: those that may keep moving averages of the kernel, which are masked, too.
        newborn: weights with which blocks that come back begin, an array of the kernel's shape, or
            None.
        kept: bool, an array of the kernel's shape, False where weights of live blocks are kept
            zero, too, or None.
    """

    kept = None

    def __init__(self, kernel, block_shape, keep_diagonal=False):
        self.kernel = kernel
        self.name = kernel.name
        self.grid = kernel.grid(block_shape)
        self.elements = kernel.inputs * kernel.units * kernel.gates
        self.live = np.ones(self.grid.shape, bool)
        diagonal = keep_diagonal and kernel.role == "recurrent_kernel"
        self.protected = np.zeros(self.grid.shape, bool)
        if diagonal:
            self.protected.flat[self.grid.diagonal] = True
        self.constraint = None
        self.newborn = None
        self.optimizers = ()

    @property
    def live(self):
        return self._live

    @live.setter
    def live(self, live):
        self._live = live  # what is dead is counted once a mask, not once a step
        if self.kept is None:
            self.dead = self.grid.weights_in(~live)
        else:
            self.dead = np.count_nonzero(~self._lets_live(live))

    def keep_zero(self, kept):
        """Keeps zero what is False in `kept`, whatever blocks live."""
        self.kept = kept
        self.apply(self.live)

    def _lets_live(self, live):
        """Which weights may differ from zero when the blocks `live` do."""
        expanded = self.grid.expand(live)
        return expanded if self.kept is None else expanded & self.kept

    def check_free(self, participant, training):
        """Raises a `ValueError` if another callback of the same `fit` has masked the kernel."""
        there = self.kernel.variable.constraint
        if isinstance(there, MaskConstraint) and there.participant is not participant:
            if training.in_fit and training.is_same(there.training):
                if there.participant.yields:
                    return
                kind = type(participant).__name__
                raise ValueError(
                    f"`layers` of the {kind} callbacks of one training must not overlap, but two "
                    f"of them prune {self.name}. Received: {there.participant.selects()} and "
                    f"{participant.selects()}"
                )

    def install(self, participant, optimizers, training, known=()):
        """Puts the mask on the variable. What a run that broke off has left there is replaced.

        Args:
            participant: the callback to which the mask belongs.
            optimizers: those that may keep moving averages of the kernel, a list.
            training: the `Training`.
            known: `MaskConstraint`s of earlier trainings. The one of this variable is used again,
                so that steps that were traced with it go on being right.
        """
        variable, model = self.kernel.variable, training.model
        existing = variable.constraint
        if isinstance(existing, MaskConstraint):
            existing = existing.existing
        self.optimizers = optimizers
        fitting = [one for one in known if one.variable is variable and one.existing is existing]
        if fitting:
            constraint = fitting[0]
            constraint.mask.assign(np.ones(self.grid.kernel_shape, bool))
            constraint.averages = self._averages
            constraint.participant, constraint.training = participant, training
        else:
            with model.distribute_strategy.scope():
                mask = keras.Variable(
                    np.ones(self.grid.kernel_shape, bool),
                    dtype="bool",
                    trainable=False,
                    name="block_mask",
                )
            constraint = MaskConstraint(existing, mask, self._averages, participant, training)
            constraint.variable = variable
        constraint.holder = self
        self.constraint = variable.constraint = constraint

    def _averages(self):
        return moving_averages(list(self.optimizers), self.kernel.variable)

    def restore(self):
        """Gives the variable its former constraint back. Steps that were traced with the mask, of
        other models that share the layer too, mask nothing from then on.
        """
        if self.is_in_place:
            self.kernel.variable.constraint = self.constraint.existing
            with tf.init_scope():  # this may happen while a step is traced
                self.constraint.mask.assign(np.ones(self.grid.kernel_shape, bool))
            # The constraint stays where steps were traced with it; callback and data need not.
            self.constraint.participant = self.constraint.training = self.constraint.holder = None

    @property
    def is_in_place(self):
        """Whether its constraint is that of the variable, and nobody has taken it over."""
        there = self.kernel.variable.constraint
        return there is not None and there is self.constraint and there.holder is self

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
        averages. The blocks that have come back begin with the weights of `newborn`, if there are
        some.
        """
        keep = self._lets_live(live)
        if self.newborn is not None:
            back, variable = keep & ~self.grid.expand(self.live), self.kernel.variable
            variable.assign(np.where(back, self.newborn, to_numpy(variable)))
            self.newborn = None
        self.live = live
        if self.constraint is not None:
            self.constraint.mask.assign(keep)
        for variable in [self.kernel.variable, *self._averages()]:
            if has_weights_outside(keep, weights := to_numpy(variable)):
                variable.assign(zero_outside(keep, weights))


def zero_outside(keep, weights):
    """The array `weights` with zeros where the mask `keep` is False.

    Bit by bit: where single weights are pruned, `np.where` takes twenty times as long, for no
    processor can foresee which way each goes.
    """
    bits = np.dtype(f"int{8 * weights.itemsize}")
    return (weights.view(bits) & -keep.astype(bits)).view(weights.dtype)


def has_weights_outside(keep, weights):
    """Whether a weight is not zero where the mask `keep` is False. NaN counts as not zero."""
    return bool(((weights != 0) & ~keep).any())


def known_constraints(model, masks):
    """The `MaskConstraint`s that steps were traced with: those of `masks`, of an earlier training
    of a callback, and those of the training function that is still there.
    """
    current = TrainFunction.of(model)
    traced = () if current is None else current.traced
    constraints = [mask.constraint for mask in masks] + list(traced)
    return [one for one in constraints if isinstance(one, MaskConstraint)]
