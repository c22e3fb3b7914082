"""A regularizer on the kernels of a built model, for the time of a training."""

import keras
import tensorflow as tf

from keras_sparse_rnn.layers.adapters import MaskedRegularizer
from keras_sparse_rnn.layers.base import WEIGHTS


class PlacedRegularizer:
    """A `Regularizer` on the variables of kernels, beside what regularizes them already, times a
    factor that can be changed; it is told their gates.

    Keras asks variables for their regularizers when it traces a step, so steps of training and of
    testing are to be traced after this, and again after `remove`. What a training that broke off
    has left on a variable is replaced; it does nothing in another training.

    Args:
        regularizer: the `Regularizer`.
        kernels: list of `Kernel`.
        training: the `Training` in which it counts.
    """

    def __init__(self, regularizer, kernels, training):
        self.model = training.model
        with self.model.distribute_strategy.scope():
            self.factor = keras.Variable(
                1.0, dtype="float64", trainable=False, autocast=False, name="strength_factor"
            )
        self.placed = [
            (kernel.variable, _Placed(regularizer, kernel, self.factor, training))
            for kernel in kernels
        ]
        self._place()

    def fits(self, kernels):
        """Whether it can be placed again: steps that were traced with it go on being right then."""
        return len(kernels) == len(self.placed) and all(
            kernel.variable is variable and former_of(variable) is placed.former
            for kernel, (variable, placed) in zip(kernels, self.placed)
        )

    def place_again(self, training):
        """Puts it back on the variables, for another training."""
        for _, placed in self.placed:
            placed.training = training
        self._place()

    def remove(self):
        """Gives the variables their former regularizers back."""
        for variable, placed in self.placed:
            if variable.regularizer is placed:
                variable.regularizer = placed.former
        self._trace_tests_anew()

    def _place(self):
        for variable, placed in self.placed:
            variable.regularizer = placed
        self._trace_tests_anew()

    def _trace_tests_anew(self):
        self.model.test_function = None


class _Placed(MaskedRegularizer):
    """The penalty of `regularizer` and that of the `former` one of a kernel."""

    def __init__(self, regularizer, kernel, factor, training):
        grids = getattr(kernel.layer, "grids", None)
        super().__init__(
            regularizer, None if grids is None else dict(zip(WEIGHTS, grids))[kernel.role]
        )
        self.former = former_of(kernel.variable)
        self.gates, self.factor, self.training = kernel.gates, factor, training

    def remember(self, packed):
        super().remember(packed)
        if isinstance(self.former, MaskedRegularizer):
            self.former.remember(packed)

    def __call__(self, kernel):
        former = None if self.former is None else self.former(kernel)
        if self.training.is_over():
            return tf.zeros(()) if former is None else former
        penalty = (
            self.regularizer(kernel, gates=self.gates)
            if self.grid is None
            else super().__call__(kernel)
        )
        penalty *= tf.cast(self.factor, penalty.dtype)
        return penalty if former is None else penalty + tf.cast(former, penalty.dtype)


def former_of(variable):
    """The regularizer of a variable without what was placed on it."""
    there = variable.regularizer
    return there.former if isinstance(there, _Placed) else there
