"""What all patterns share that say which weights of a kernel may live."""

from keras_sparse_rnn.patterns.grid import BlockGrid


class Pattern:
    """Which weights of a kernel may live together: what `BlockPruning(pattern=...)` and
    `ksr.prune(pattern=...)` take in place of a `block_shape`.

    A pattern has a sparsity of its own, at which it is reached. On the way there weights go, those
    of the lowest scores first, that the pattern does not keep.

    Attributes:
        sparsity: the fraction of a kernel's weights that it leaves zero.
        block_shape: `(rows, columns)` of what it keeps or drops as a whole.
    """

    @property
    def sparsity(self):
        raise NotImplementedError(f"{type(self).__name__} must have a `sparsity`")

    @property
    def block_shape(self):
        return 1, 1

    def concerns(self, kernel):
        """Whether the kernel, a `selection.Kernel`, is one that the pattern says something of.

        Raises:
            ValueError: it is, and has other sizes than the pattern takes.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method concerns(kernel)")

    def kept(self, scores, live):
        """Which blocks live once the pattern is reached, bool `[gates, columns, rows]`.

        Args:
            scores: float `[gates, columns, rows]`, the larger the longer a block lives.
            live: bool, the blocks that live now.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method kept(scores, live)")

    def grid(self, kernel):
        """The `BlockGrid` that cuts a kernel, a `selection.Kernel`."""
        return BlockGrid(kernel.inputs, kernel.units, kernel.gates, self.block_shape)

    def __eq__(self, other):
        return type(other) is type(self) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), repr(self.get_config())))

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def check_pattern(pattern, name="pattern"):
    """Returns `pattern`, a `Pattern` or None, or raises a `ValueError` that names `name`."""
    if not isinstance(pattern, Pattern | None):
        raise ValueError(
            f"`{name}` must be a Pattern of keras_sparse_rnn.patterns, such as NofM(2, 4), or "
            f"None. Received: {name}={pattern!r}"
        )
    return pattern
