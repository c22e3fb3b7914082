"""What every export achieved."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Summary:
    """What an export wrote and saw.

    Attributes:
        bytes: the size of the file.
        dense_bytes: what it would be with all weights stored dense, in float32.
        largest_error: the largest absolute difference from Keras's outputs, over all outputs of all
            comparisons.
    """

    bytes: int
    dense_bytes: int
    largest_error: float

    @property
    def ratio(self):
        """How many times smaller the file is than the dense one."""
        return self.dense_bytes / self.bytes

    def _text(self, what, rows):
        """A line about `what` was written, and one for each of `rows`, a dict from names."""
        smaller = f"{self.ratio:.2f} times smaller than dense ({self.dense_bytes:,} bytes)"
        rows = {"largest difference from Keras": f"{self.largest_error:.1e}", **rows}
        return "\n".join(
            [f"{what}{self.bytes:,} bytes, {smaller}", *(f"  {k:<31}{v}" for k, v in rows.items())]
        )
