"""The weights of the units of one layer under masks: its kernels and its bias."""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.pruning.masks import KernelMask, has_weights_outside


class VectorGrid(BlockGrid):
    """The grid of a bias `[gates * units]`: that of a kernel of one row, without its axis."""

    @property
    def kernel_shape(self):
        return (self.gates * self.units,)


class BiasMask(KernelMask):
    """The bias of a layer under a mask, of whole units.

    Args:
        kernels: the `selection.Kernel` records of the layer.
        bias: the variable.
    """

    def __init__(self, kernels, bias):
        first, rows = kernels[0], bias.shape[0] if len(bias.shape) == 2 else 1
        record = dataclasses.replace(first, variable=bias, role="bias", inputs=rows)
        super().__init__(record, (rows, 1))
        self.kernels = kernels
        if len(bias.shape) == 1:
            self.grid = VectorGrid(1, first.units, first.gates, (1, 1))

    def pattern(self, pruned_before):
        """Without any weight into them, or any bias, units are dead. A layer of which all are has
        not been pruned, but initialized so, unless it was `pruned_before`.
        """
        live = _units_of([*self.kernels, self.kernel])
        if not pruned_before and not live.any():
            live = ~live
        return np.broadcast_to(live[None, :, None], self.grid.shape).copy()


class UnitMasks:
    """Some units of a layer, dead: of their weights, all into them and, in the recurrent kernel,
    out of them are zero, and so is their bias.

    Args:
        kernels: the `selection.Kernel` records of one layer: its kernel and, if it is recurrent,
            its recurrent kernel.

    Attributes:
        kernels: `KernelMask`s of these.
        bias: that of the bias, or None.
        live: bool `[units]`.
    """

    def __init__(self, kernels):
        self.path, self.units = kernels[0].path, kernels[0].units
        self.kernels = [
            KernelMask(one, (1 if one.role == "recurrent_kernel" else one.inputs, 1))
            for one in kernels
        ]
        bias = getattr(kernels[0].cell, "bias", None)
        self.bias = BiasMask(kernels, bias) if isinstance(bias, keras.Variable) else None
        self.live = np.ones(self.units, bool)

    @property
    def masks(self):
        """All masks of the layer."""
        return [*self.kernels, *([] if self.bias is None else [self.bias])]

    def pattern(self):
        """Which units read anything now, bool `[units]`."""
        return _units_of([mask.kernel for mask in self.kernels])

    def chosen(self, live):
        """The mask of each weight in which only the units `live` are: pairs `(mask, live)`."""
        pairs = []
        for mask in self.masks:
            columns = np.broadcast_to(live[None, :, None], mask.grid.shape)
            recurrent = mask.kernel.role == "recurrent_kernel"
            pairs.append((mask, columns & live if recurrent else columns.copy()))
        return pairs

    def shortfall(self):
        """What is wrong with the weights, a sentence, or None."""
        wrong = [
            mask.kernel.role
            for mask in self.masks
            if has_weights_outside(mask.grid.expand(mask.live), mask.kernel.numpy())
        ]
        dead = self.units - np.count_nonzero(self.live)
        return (
            f"{self.path} should have {dead} dead units, and they have weights in "
            f"{', '.join(wrong)}"
            if wrong
            else None
        )


def _units_of(kernels):
    """Which units of a layer have a weight in any of these, bool `[units]`."""
    units = kernels[0].units
    return np.any([(one.numpy() != 0).reshape(-1, units).any(axis=0) for one in kernels], axis=0)
