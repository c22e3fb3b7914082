"""The geometry of one kernel: how it is cut into blocks, and how these are numbered."""

import dataclasses
import functools
import math
import numbers

import numpy as np

from keras_sparse_rnn.patterns.arguments import check_block_shape


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

    @property
    def diagonal(self):
        """The numbers of the blocks that touch the diagonal of their gate, int64, ascending."""
        height, width = self.block_shape
        last = min(self.inputs, self.units)
        columns, rows = np.arange(self.columns)[:, None], np.arange(self.rows)
        touches = (rows * height < np.minimum((columns + 1) * width, last)) & (
            columns * width < np.minimum((rows + 1) * height, last)
        )
        own = np.flatnonzero(touches)
        return (np.arange(self.gates)[:, None] * touches.size + own).ravel()

    def split(self, kernel):
        """Cuts `kernel` `[inputs, gates * units]` into `[gates, columns, rows, block rows, block
        columns]`, padded with zeros; a view of it where nothing has to be padded.
        """
        kernel = self._checked(kernel)
        height, width = self.block_shape
        padding = (
            (0, self.rows * height - self.inputs),
            (0, 0),
            (0, self.columns * width - self.units),
        )
        cut = kernel.reshape(self.inputs, self.gates, self.units)
        if np.any(padding):
            cut = np.pad(cut, padding)
        cut = cut.reshape(self.rows, height, self.gates, self.columns, width)
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
        blocks = self.checked_blocks(blocks).astype(np.int32)
        return np.ascontiguousarray(cut[blocks]), blocks

    def unpack(self, values, blocks, name="blocks"):
        """The dense kernel `[inputs, gates * units]` of a packed one: the inverse of `pack`.

        Raises:
            ValueError: `blocks`, which the message calls `name`, are no ascending block numbers.
        """
        values = np.asarray(values)
        cut = np.zeros((self.count,) + self.block_shape, values.dtype)
        cut[self.checked_blocks(blocks, name)] = values
        return self.join(cut.reshape(self.shape + self.block_shape))

    def weights_in(self, blocks):
        """How many weights lie in the `blocks`, bool `[gates, columns, rows]`."""
        height, width = self.block_shape
        if self.inputs % height == 0 and self.units % width == 0:
            return np.count_nonzero(blocks) * height * width
        return int(self.elements[blocks].sum())

    def sparsity(self, live):
        """The fraction of the kernel's weights that lie in dead blocks."""
        return 1.0 - float(
            self.elements[np.asarray(live, bool).reshape(self.shape)].sum() / self.elements.sum()
        )

    def checked_blocks(self, blocks, name="blocks"):
        """Returns `blocks` as an array, or raises a `ValueError` that names `name` and the first
        number that is wrong. The native ops say the same.
        """
        blocks = np.asarray(blocks)
        before = np.concatenate([[-1], blocks[:-1]])
        wrong = np.flatnonzero((blocks <= before) | (blocks >= self.count))
        if wrong.size:
            at = wrong[0]
            raise ValueError(
                f"{self.wanted_blocks(name)}[{at}] = {blocks[at]}"
                + (f" after {before[at]}" if at else "")
            )
        return blocks

    def wanted_blocks(self, name):
        """What is to be said about wrong block numbers, up to which one is wrong."""
        return (
            f"`{name}` must be ascending block numbers without repetition, from 0 to "
            f"{self.count - 1}. Received: {name}"
        )

    def _checked(self, kernel):
        kernel = np.asarray(kernel)
        if kernel.shape != self.kernel_shape:
            raise ValueError(
                f"`kernel` must have the shape (inputs, gates * units) = {self.kernel_shape}. "
                f"Received: kernel of shape {kernel.shape}"
            )
        return kernel
