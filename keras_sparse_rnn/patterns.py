"""Which weights of a kernel are zero together.

A Keras recurrent kernel is a matrix `[inputs, gates * units]`: the gates stand side by side (LSTM:
i, f, c, o; GRU: z, r, h). A pattern cuts the part of *each gate* into blocks of `block_shape =
(rows, columns)`, so that a block never straddles two gates. Where the sizes do not divide, the last
block of a row or column is partial.

`BlockGrid` is the geometry of one kernel: it splits, packs and unpacks. `Block` decides which
blocks live: it scores them by their weights and drops the lowest until the sparsity that was asked
for is reached.

The blocks of a kernel are numbered gate by gate, in a gate column by column, in a column from the
first row to the last:

    number = (gate * columns + column) * rows + row

A packed kernel is the ascending list of its live block numbers, `blocks` int32 `[live]`, and
`values` `[live, block rows, block columns]`, where the part of a partial block that lies outside
the kernel is zero.

>>> import numpy as np
>>> grid = BlockGrid(inputs=6, units=8, gates=4, block_shape=(4, 4))
>>> grid.shape                       # gates, columns, rows: the second row of blocks is partial
(4, 2, 2)
>>> kernel = np.random.default_rng(0).normal(size=(6, 32))
>>> keep = Block((4, 4)).keep(grid, kernel, sparsity=0.5)
>>> values, blocks = grid.pack(kernel * grid.expand(keep))
>>> values.shape
(8, 4, 4)"""

import dataclasses
import functools
import math
import numbers

import numpy as np

CRITERIA = ("max", "mean", "l2")
SCOPES = ("gate", "kernel", "model")


def check_block_shape(block_shape, name="block_shape"):
    """Returns `block_shape` as a tuple of two positive ints, or raises a `ValueError` that names
    `name`.
    """
    valid = isinstance(block_shape, (tuple, list)) and len(block_shape) == 2
    if valid:
        valid = all(
            isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 1
            for n in block_shape
        )
    if not valid:
        raise ValueError(
            f"`{name}` must be (rows, columns), two integers of at least 1. Received: "
            f"{name}={block_shape!r}"
        )
    return tuple(int(n) for n in block_shape)


def check_block_fits(block_shape, kernel_shape, kernel_name):
    """Raises a `ValueError` if a block of `block_shape` has more rows or columns than one gate
    `kernel_shape = (inputs, units)`.
    """
    if block_shape[0] > kernel_shape[0] or block_shape[1] > kernel_shape[1]:
        raise ValueError(
            "`block_shape` must not be larger than one gate of the kernel that it cuts: "
            f"{kernel_name} has (inputs, units) = {tuple(kernel_shape)} per gate. Received: "
            f"block_shape={tuple(block_shape)}"
        )


def fitted_block_shape(block_shape, kernel_shape):
    """`block_shape` cut to one gate `kernel_shape = (inputs, units)` of a kernel."""
    return tuple(min(size, most) for size, most in zip(block_shape, kernel_shape))


def check_sparsity(sparsity, name="sparsity"):
    """Returns `sparsity` as a float in [0, 1), or raises a `ValueError` that names `name`."""
    valid = (
        isinstance(sparsity, numbers.Real) and not isinstance(sparsity, bool) and 0 <= sparsity < 1
    )
    if not valid:
        raise ValueError(
            f"`{name}` must be a fraction in [0, 1), 0.9 for 90 %. Received: {name}={sparsity!r}"
        )
    return float(sparsity)


def check_choice(value, choices, name):
    """Returns `value`, or raises a `ValueError` that names `name` and lists `choices`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}"
        )
    return value


@dataclasses.dataclass(frozen=True)
class BlockGrid:
    """The blocks of one kernel `[inputs, gates * units]`.

    Args:
        inputs: rows of the kernel.
        units: columns of one gate.
        gates: how many gates stand side by side.
        block_shape: `(rows, columns)` of one block; a block that is larger than the kernel is one
            partial block.

    Raises:
        ValueError: a size is not a positive integer.
    """

    inputs: int
    units: int
    gates: int
    block_shape: tuple

    def __post_init__(self):
        for name in ("inputs", "units", "gates"):
            size = getattr(self, name)
            if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
                raise ValueError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={size!r}"
                )
        object.__setattr__(self, "block_shape", check_block_shape(self.block_shape))

    @property
    def rows(self):
        """Blocks from the first input to the last."""
        return math.ceil(self.inputs / self.block_shape[0])

    @property
    def columns(self):
        """Blocks from the first unit of a gate to its last."""
        return math.ceil(self.units / self.block_shape[1])

    @property
    def shape(self):
        """`(gates, columns, rows)`, the order in which blocks are numbered."""
        return self.gates, self.columns, self.rows

    @property
    def count(self):
        """How many blocks there are, live or not."""
        return self.gates * self.columns * self.rows

    @property
    def kernel_shape(self):
        """`(inputs, gates * units)`."""
        return self.inputs, self.gates * self.units

    @functools.cached_property
    def elements(self):
        """How many weights each block has, int64 `[gates, columns, rows]`: fewer at partial
        edges.
        """
        row_sizes, column_sizes = (
            np.minimum(size, total - size * np.arange(math.ceil(total / size)))
            for size, total in zip(self.block_shape, (self.inputs, self.units))
        )
        return np.broadcast_to(column_sizes[:, None] * row_sizes, self.shape)

    def split(self, kernel):
        """Cuts `kernel` `[inputs, gates * units]` into `[gates, columns, rows, block rows, block
        columns]`, padded with zeros.
        """
        kernel = self._checked(kernel)
        height, width = self.block_shape
        padding = (
            (0, self.rows * height - self.inputs),
            (0, 0),
            (0, self.columns * width - self.units),
        )
        padded = np.pad(kernel.reshape(self.inputs, self.gates, self.units), padding)
        cut = padded.reshape(self.rows, height, self.gates, self.columns, width)
        return cut.transpose(2, 3, 0, 1, 4)

    def join(self, blocks):
        """The inverse of `split`: `[gates, columns, rows, block rows, block columns]` to the
        kernel, padding dropped.
        """
        height, width = self.block_shape
        padded = np.transpose(blocks, (2, 3, 0, 1, 4)).reshape(
            self.rows * height, self.gates, self.columns * width
        )
        return np.ascontiguousarray(
            padded[: self.inputs, :, : self.units].reshape(self.kernel_shape)
        )

    def live(self, kernel):
        """Which blocks have a weight that is not zero, bool `[gates, columns, rows]`. NaN counts as
        not zero.
        """
        return (self.split(kernel) != 0).any(axis=(3, 4))

    def expand(self, live):
        """The keep-mask of the weights, bool `[inputs, gates * units]`, from that of the blocks,
        `[gates, columns, rows]`.
        """
        live = np.asarray(live, bool).reshape(self.shape)
        return self.join(np.broadcast_to(live[..., None, None], self.shape + self.block_shape))

    def pack(self, kernel, blocks=None):
        """Returns `(values, blocks)`, the blocks numbered `blocks` (default: the live ones) of
        `kernel`, in ascending order.
        """
        cut = self.split(kernel).reshape((self.count,) + self.block_shape)
        if blocks is None:
            blocks = np.flatnonzero(self.live(kernel))
        blocks = np.asarray(blocks, np.int32)
        return np.ascontiguousarray(cut[blocks]), blocks

    def unpack(self, values, blocks):
        """The dense kernel `[inputs, gates * units]` of a packed one: the inverse of `pack`."""
        values = np.asarray(values)
        cut = np.zeros((self.count,) + self.block_shape, values.dtype)
        cut[np.asarray(blocks)] = values
        return self.join(cut.reshape(self.shape + self.block_shape))

    def sparsity(self, live):
        """The fraction of the kernel's weights that lie in dead blocks."""
        return 1.0 - float(
            self.elements[np.asarray(live, bool).reshape(self.shape)].sum() / self.elements.sum()
        )

    def _checked(self, kernel):
        kernel = np.asarray(kernel)
        if kernel.shape != self.kernel_shape:
            raise ValueError(
                f"`kernel` must have the shape (inputs, gates * units) = {self.kernel_shape}. "
                f"Received: kernel of shape {kernel.shape}"
            )
        return kernel


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
        """The score of each block, float64 `[gates, columns, rows]`.

        Raises:
            ValueError: the kernel has a NaN or an infinity, so no order of its blocks means
                anything.
        """
        kernel = np.asarray(kernel, np.float64)
        if not np.isfinite(kernel).all():
            raise ValueError(
                "`kernel` must be finite when a mask is taken from it: training has diverged. "
                f"Received: {np.count_nonzero(~np.isfinite(kernel))} of {kernel.size} weights "
                "are NaN or infinite"
            )
        blocks = np.abs(grid.split(kernel))
        if self.criterion == "max":
            return blocks.max(axis=(3, 4))
        return (blocks if self.criterion == "mean" else blocks**2).sum(axis=(3, 4)) / grid.elements

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


def keep_largest(scores, elements, sparsity, *, live=None, protected=None, owners=None):
    """Which blocks live when the live ones of the lowest `scores` are dropped until `sparsity` is
    reached.

    Dropping stops when no more than half a block, of the largest size, is `missing`. That depends
    on what has been dropped and not on what the weights are, so asking again later for the same
    sparsity drops nothing: a resumed run can repeat its last mask at any time.

    Each owner keeps a block, a protected one or else that of its largest score, since a kernel of
    zeros computes nothing. Where that leaves too much, all the other blocks are dropped and the
    sparsity stays below what was asked.

    Args:
        scores, elements: arrays of one shape, as are the next three.
        sparsity: a fraction in [0, 1).
        live: bool, the blocks that live now; all by default.
        protected: bool, blocks that are not dropped, whatever their score; none by default.
        owners: a number for each block, that of the gate or kernel which must not lose its last
            one; all have one owner by default.

    Returns:
        bool array of that shape.

    Raises:
        ValueError: the sparsity cannot be reached because of the protected blocks.
    """
    sparsity, shape = check_sparsity(sparsity), np.shape(scores)
    live = np.ones(shape, bool) if live is None else live
    protected = np.zeros(shape, bool) if protected is None else protected
    owners = np.zeros(shape, int) if owners is None else owners
    scores, elements, live, protected, owners = map(
        np.ravel, (scores, elements, live, protected, owners)
    )
    order = np.argsort(scores, kind="stable")
    order = order[(live & ~protected)[order]]
    last = order[::-1][np.unique(owners[order][::-1], return_index=True)[1]]
    last = last[~np.isin(owners[last], owners[live & protected])]
    order = order[~np.isin(order, last)]
    goal, tolerance = missing(live, elements, sparsity)
    dropped = order[goal - (np.cumsum(elements[order]) - elements[order]) > tolerance]
    if goal - elements[order].sum() - elements[last].sum() > tolerance:
        raise ValueError(
            "`keep_diagonal` and `minimum_density` protect more than the sparsity allows: "
            f"{np.count_nonzero(protected & live)} of {live.size} blocks are kept. Received: "
            f"sparsity={sparsity}"
        )
    live = live.copy()
    live[dropped] = False
    return live.reshape(shape)


def missing(live, elements, sparsity):
    """How many weights are still to be dropped for `sparsity`, and half a block, up to which it
    counts as reached.
    """
    return sparsity * elements.sum() - elements[~live].sum(), elements.max() / 2
