"""What an export to C achieved."""

import dataclasses

from keras_sparse_rnn.export.summary import Summary


@dataclasses.dataclass(frozen=True)
class CSummary(Summary):
    """What `export_c` wrote and saw.

    Attributes:
        bytes: the size of `model.ksr`, and of the weights in the C array.
        dense_bytes: that of the model's weights, dense, in float32.
        largest_error: as in `Summary`.
        folder: where it is.
        memory: bytes that the program gives to the model and one stream, on the processor that
            needs most.
        code_bytes: the size of the compiled program without its weights; None where it was not
            compiled.
        compiler: what compiled it; None where there is no compiler, and the program was not run.
    """

    folder: str
    memory: int
    code_bytes: int | None
    compiler: str | None

    def __str__(self):
        program = (
            f"built by {self.compiler} and run, {self.code_bytes:,} bytes of code"
            if self.compiler
            else "not built: there is no compiler here; the file was run in ksr_runtime"
        )
        rows = {"memory": f"{self.memory:,} bytes", "program": program}
        return self._text(f"{self.folder}: model.ksr of ", rows)
