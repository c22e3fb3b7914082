"""Which blocks of a kernel live: those of the largest scores."""

import bisect
import dataclasses

import numpy as np

from keras_sparse_rnn.patterns.arguments import check_block_shape, check_choice, check_sparsity
from keras_sparse_rnn.patterns.grid import BlockGrid

CRITERIA = ("max", "mean", "l2")
SCOPES = ("gate", "kernel", "model")


@dataclasses.dataclass(frozen=True)
class Block:
    """Prunes whole blocks, those of least magnitude first.

    A block's score is, by `criterion`, over its own weights (padding never counts):

    - `"max"`: `max |w|` (Narang et al. 2017, arXiv 1711.02782);
    - `"mean"`: `mean |w|` (WaveRNN, arXiv 1802.08435);
    - `"l2"`: the energy `mean w**2` (LPCNet's `sum w**2`, divided so that partial blocks are not
      pruned for being small).

    Of equal scores the block of the lower number is pruned first, so the sparsity that was asked
    for is reached to within half a block also when all weights are equal. The last block of a gate
    (or of a kernel, if `scope` is not `"gate"`) is never pruned.

    Args:
        block_shape: `(rows, columns)` of a block, in the kernel of one gate.
        criterion: `"max"`, `"mean"` or `"l2"`.
    """

    block_shape: tuple = (16, 16)
    criterion: str = "max"

    def __post_init__(self):
        object.__setattr__(self, "block_shape", check_block_shape(self.block_shape))
        check_choice(self.criterion, CRITERIA, "criterion")

    def grid(self, kernel_shape, gates=1):
        """The `BlockGrid` of a kernel of shape `(inputs, gates * units)`."""
        return BlockGrid(
            int(kernel_shape[0]), int(kernel_shape[1]) // gates, gates, self.block_shape
        )

    def scores(self, grid, kernel):
        """The score of each block, float `[gates, columns, rows]`.

        Raises:
            ValueError: the kernel has a NaN or an infinity, so no order of its blocks means
                anything.
        """
        kernel = np.asarray(kernel)
        if self.criterion != "max" or kernel.dtype != np.float32:  # whose largest is exact
            kernel = kernel.astype(np.float64)
        blocks = np.abs(grid.split(kernel))
        if self.criterion == "max":
            scores = blocks.max(axis=3).max(axis=3)  # rows first: they lie side by side
        else:
            sums = (blocks if self.criterion == "mean" else blocks**2).sum(axis=(3, 4))
            scores = sums / grid.elements
        if not np.isfinite(scores).all():
            check_finite(kernel)
        return scores

    def keep(self, grid, kernel, sparsity, scope="gate", protected=None):
        """Which blocks of one kernel live at `sparsity`, bool `[gates, columns, rows]`: those that
        `keep_largest` chooses.

        Args:
            grid: the `BlockGrid` of the kernel.
            kernel: `[inputs, gates * units]`.
            sparsity: the fraction of weights to prune, in [0, 1).
            scope: `"gate"` prunes every gate to `sparsity`, `"kernel"` all gates together.
            protected: bool `[gates, columns, rows]`, blocks that are never pruned.
        """
        scores = self.scores(grid, kernel)
        protected = np.zeros(grid.shape, bool) if protected is None else np.asarray(protected, bool)
        if check_choice(scope, SCOPES, "scope") == "gate":
            parts = zip(scores, grid.elements, protected)
            return np.stack([keep_largest(s, e, sparsity, protected=p) for s, e, p in parts])
        return keep_largest(scores, grid.elements, sparsity, protected=protected)


def check_finite(kernel):
    """Raises a `ValueError` if weights are NaN or infinite."""
    bad = np.count_nonzero(~np.isfinite(kernel))
    if bad:
        raise ValueError(
            "`kernel` must be finite when a mask is taken from it: training has diverged. "
            f"Received: {bad} of {kernel.size} weights are NaN or infinite"
        )


def keep_largest(scores, elements, sparsity, *, live=None, protected=None, families=None):
    """Which blocks live when the live ones of the lowest `scores` are dropped until `sparsity` is
    reached.

    Dropping stops when no more than half a block, of the largest size, is `missing`. That depends
    on what has been dropped and not on what the weights are, so asking again later for the same
    sparsity drops nothing: a resumed run can repeat its last mask at any time.

    Each family keeps a block, a protected one or else that of its largest score, since a kernel of
    zeros computes nothing. Where that leaves too much, all the other blocks are dropped and the
    sparsity stays below what was asked.

    Args:
        scores, elements: arrays of one shape, as are the next three.
        sparsity: a fraction in [0, 1).
        live: bool, the blocks that live now; all by default.
        protected: bool, blocks that are not dropped, whatever their score; none by default.
        families: a number for each block, that of the gate or kernel which must not lose its last
            one; all are one family by default.

    Returns:
        bool array of that shape.

    Raises:
        ValueError: the sparsity cannot be reached because of the protected blocks.
    """
    sparsity, shape = check_sparsity(sparsity), np.shape(scores)
    live = np.ones(shape, bool) if live is None else live
    protected = np.zeros(shape, bool) if protected is None else protected
    scores, elements, live, protected = map(np.ravel, (scores, elements, live, protected))
    free = np.flatnonzero(live & ~protected)
    last = largest_of_each(scores, free, families, live & protected)
    free = free[~np.isin(free, last)] if last.size else free
    goal, tolerance = missing(live, elements, sparsity)
    if goal - elements[free].sum() - elements[last].sum() > tolerance:
        raise ValueError(
            "`keep_diagonal` and `minimum_density` protect more than the sparsity allows: "
            f"{np.count_nonzero(protected & live)} of {live.size} blocks are kept. Received: "
            f"sparsity={sparsity}"
        )
    live = live.copy()
    live[_lowest(scores, elements, free, goal, tolerance)] = False
    return live.reshape(shape)


def largest_of_each(scores, free, families, kept):
    """The block of the largest score among those numbered `free`, of equal ones the last, of each
    family that has none in `kept`, bool. `families` None: they are one family.
    """
    if families is None:
        groups = [] if kept.any() or not free.size else [free]
    else:
        own, kept = np.ravel(families)[free], np.ravel(families)[kept]
        names = np.setdiff1d(np.flatnonzero(np.bincount(own)) if own.size else own, kept)
        groups = [free[own == name] for name in names]
    largest = [one[np.flatnonzero(scores[one] == scores[one].max())[-1]] for one in groups]
    return np.array(largest, int)


def _lowest(scores, elements, free, goal, tolerance):
    """The blocks of the lowest scores among those numbered `free`, of equal ones the first, as many
    as it takes for no more than `tolerance` of `goal` weights to be lacking.
    """
    size = elements[free[0]] if free.size else 0
    if not (elements[free] == size).all():
        order = free[np.argsort(scores[free], kind="stable")]
        return order[goal - (np.cumsum(elements[order]) - elements[order]) > tolerance]
    # Blocks of one size need not be sorted, which takes longer than all else of a mask of single
    # weights.
    count = bisect.bisect_left(
        range(free.size), True, key=lambda dropped: goal - size * dropped <= tolerance
    )
    if not count:
        return free[:0]
    own = scores[free]
    bound = np.partition(own, count - 1)[count - 1]
    # By numbers: an index of bools, which nothing can foresee here, takes ten times as long.
    below, at = np.flatnonzero(own < bound), np.flatnonzero(own == bound)
    return free[np.concatenate([below, at[: count - below.size]])]


def missing(live, elements, sparsity):
    """How many weights are still to be dropped for `sparsity`, and half a block, up to which it
    counts as reached.
    """
    largest, dead = elements.max(), np.count_nonzero(~live)
    dropped = largest * dead if elements.min() == largest else elements[~live].sum()
    return sparsity * elements.sum() - dropped, largest / 2
