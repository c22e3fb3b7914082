"""A regularizer on a kernel of a built model, for the time of a training."""

from keras_sparse_rnn.layers.adapters import MaskedRegularizer
from keras_sparse_rnn.layers.base import WEIGHTS


class PlacedRegularizer:
    """A `Regularizer` on the variable of a kernel, beside what regularizes it already; the kernel's gates are told to it.

    Keras asks variables for their regularizers when it traces a training step, so it is to be traced after this. What a training that broke off has
    left there is replaced.

    Args:
        regularizer: the `Regularizer`.
        kernel: the `Kernel`.
    """

    def __init__(self, regularizer, kernel):
        self.variable = kernel.variable
        there = kernel.variable.regularizer
        former = getattr(there, "former", there)
        grids = getattr(kernel.layer, "grids", None)
        if former is None and grids is not None:
            self.placed = _OnMasked(regularizer, dict(zip(WEIGHTS, grids))[kernel.role])
        else:
            self.placed = _Beside(regularizer, kernel.gates, former)
        self.variable.regularizer = self.placed

    def remove(self):
        """Gives the variable its former regularizer back."""
        if self.variable.regularizer is self.placed:
            self.variable.regularizer = self.placed.former


class _OnMasked(MaskedRegularizer):
    former = None


class _Beside:
    def __init__(self, regularizer, gates, former):
        self.regularizer, self.gates, self.former = regularizer, gates, former

    def __call__(self, kernel):
        penalty = self.regularizer(kernel, gates=self.gates)
        return penalty if self.former is None else penalty + self.former(kernel)
