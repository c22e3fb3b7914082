"""What reaches a sparsity by itself: each gate, each kernel or all kernels together."""

import math

import numpy as np

from keras_sparse_rnn.patterns import keep_largest, missing

ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7


class Parts:
    """The parts of some kernels that are pruned to the sparsity each by itself.

    Blocks of a part stand in one row: those of its kernels one after another, gate by gate.

    Args:
        masks: list of `KernelMask`.
        scope: `"gate"`, `"kernel"` or `"model"`: what a part is.
        floor: the fraction of its blocks that each gate keeps.
    """

    def __init__(self, masks, scope, floor):
        self.masks, self.scope, self.floor = masks, scope, floor

    def __iter__(self):
        """Yields `(name, places)` of each part; `places` is a list of `(number of the kernel, slice
        of its gates)`.
        """
        everything = slice(None)
        if self.scope == "model":
            yield "the model", [(number, everything) for number in range(len(self.masks))]
            return
        for number, mask in enumerate(self.masks):
            if self.scope == "kernel" or mask.grid.gates == 1:
                yield mask.name, [(number, everything)]
                continue
            for gate, name in enumerate(mask.kernel.gate_names):
                yield f"{mask.name}, gate {name},", [(number, slice(gate, gate + 1))]

    @staticmethod
    def gather(arrays, places):
        """The row of a part, of arrays `[gates, columns, rows]`, one for each kernel."""
        return np.concatenate([np.ravel(arrays[number][gates]) for number, gates in places])

    @staticmethod
    def scatter(arrays, places, row):
        """The inverse of `gather`: writes `row` into `arrays`."""
        for number, gates in places:
            part = arrays[number][gates]
            arrays[number][gates] = row[: part.size].reshape(part.shape)
            row = row[part.size :]

    def elements(self, places):
        """How many weights each block of a part has."""
        return self.gather([mask.grid.elements for mask in self.masks], places)

    def families(self, places):
        """The number of the kernel of each block of a part, which must not lose its last block;
        None if there is one kernel.
        """
        if len({number for number, _ in places}) == 1:
            return None
        numbers = [np.full(mask.grid.shape, number) for number, mask in enumerate(self.masks)]
        return self.gather(numbers, places)

    def protected(self, scores, live, places):
        """Which blocks of a part must not be dropped: those of the diagonal, and the best live ones
        of each gate, up to the floor.
        """
        protected = self.gather([mask.protected for mask in self.masks], places)
        if self.floor:
            start = 0
            for number, gates in places:
                for part in np.empty(self.masks[number].grid.shape)[gates]:
                    own = slice(start, start + part.size)
                    order = np.argsort(np.where(live[own], scores[own], -np.inf), kind="stable")
                    best = order[::-1][: math.ceil(self.floor * part.size - ROUNDING)]
                    protected[own.start + best] = True
                    start += part.size
        return protected

    def keep(self, scores, live, places, sparsity):
        """Which blocks of a part live at `sparsity`; see `patterns.keep_largest`."""
        return keep_largest(
            scores,
            self.elements(places),
            sparsity,
            live=live,
            protected=self.protected(scores, live, places),
            families=self.families(places),
        )

    def short(self, lives, sparsity):
        """Yields those parts, as `__iter__` does, of which `lives`, an array for each kernel, drop
        less than `sparsity` asks for.
        """
        for name, places in self:
            lacking, tolerance = missing(
                self.gather(lives, places), self.elements(places), sparsity
            )
            if lacking > tolerance:
                yield name, places
