"""What an export achieved."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LiteRTSummary:
    """What `export_litert` wrote and saw.

    Attributes:
        path: the file.
        bytes: its size.
        dense_bytes: the size of the same graph with all weights stored dense.
        largest_error: the largest absolute difference from Keras's outputs, over all outputs of all
            comparisons.
        milliseconds_per_step: the median time of one inference in the interpreter, divided by its
            steps.
        timed: what was timed, in words: batch size, steps, threads.
        operators: the names of the operators in the file, sorted.
        sparse_tensors: how many weight matrices are stored without their zeros.
        computed_sparse: how many of them are also computed without them; the others are made dense
            when the file is loaded.
    """

    path: str
    bytes: int
    dense_bytes: int
    largest_error: float
    milliseconds_per_step: float
    timed: str
    operators: tuple
    sparse_tensors: int
    computed_sparse: int

    @property
    def ratio(self):
        """How many times smaller the file is than the dense one."""
        return self.dense_bytes / self.bytes

    def _whose(self):
        ours = any(name.startswith("CUSTOM:") for name in self.operators)
        return "operators, CUSTOM is ours" if ours else "operators, all built in"

    def __str__(self):
        return "\n".join(
            [
                f"{self.path}: {self.bytes:,} bytes, {self.ratio:.2f} times smaller than dense "
                f"({self.dense_bytes:,} bytes)",
                f"  largest difference from Keras  {self.largest_error:.1e}",
                f"  time per step                  {self.milliseconds_per_step:.4f} ms "
                f"({self.timed})",
                f"  sparse weight matrices         {self.sparse_tensors} stored, "
                f"{self.computed_sparse} of them computed sparse",
                f"  {self._whose():<31}{', '.join(self.operators)}",
            ]
        )
