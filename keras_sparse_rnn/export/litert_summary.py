"""What an export to LiteRT achieved."""

import dataclasses

from keras_sparse_rnn.export.summary import Summary


@dataclasses.dataclass(frozen=True)
class LiteRTSummary(Summary):
    """What `export_litert` wrote and saw.

    Attributes:
        bytes, dense_bytes, largest_error: as in `Summary`.
        path: the file.
        milliseconds_per_step: the median time of one inference in the interpreter, divided by its
            steps.
        timed: what was timed, in words: batch size, steps, threads.
        operators: the names of the operators in the file, sorted.
        sparse_tensors: how many weight matrices are stored without their zeros.
        computed_sparse: how many of them are also computed without them; the others are made dense
            when the file is loaded.
    """

    path: str
    milliseconds_per_step: float
    timed: str
    operators: tuple
    sparse_tensors: int
    computed_sparse: int

    def __str__(self):
        ours = any(name.startswith("CUSTOM:") for name in self.operators)
        whose = "operators, CUSTOM is ours" if ours else "operators, all built in"
        rows = {
            "time per step": f"{self.milliseconds_per_step:.4f} ms ({self.timed})",
            "sparse weight matrices": f"{self.sparse_tensors} stored, {self.computed_sparse} of "
            "them computed sparse",
            whose: ", ".join(self.operators),
        }
        return self._text(f"{self.path}: ", rows)
