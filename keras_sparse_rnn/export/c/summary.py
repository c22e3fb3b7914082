"""What an export to C achieved."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class CSummary:
    """What `export_c` wrote and saw.

    Attributes:
        folder: where it is.
        bytes: the size of `model.ksr`, and of the weights in the C array.
        dense_bytes: that of the model's weights, dense, in float32.
        memory: bytes that the program gives to the model and one stream, on the processor that
            needs most.
        largest_error: the largest absolute difference from Keras's outputs.
        code_bytes: the size of the compiled program without its weights; None where it was not
            compiled.
        compiler: what compiled it; None where there is no compiler, and the program was not run.
    """

    folder: str
    bytes: int
    dense_bytes: int
    memory: int
    largest_error: float
    code_bytes: int | None
    compiler: str | None

    @property
    def ratio(self):
        """How many times smaller the file is than the dense weights."""
        return self.dense_bytes / self.bytes

    def __str__(self):
        program = (
            f"built by {self.compiler} and run, {self.code_bytes:,} bytes of code"
            if self.compiler
            else "not built: there is no compiler here; the file was run in ksr_runtime"
        )
        return "\n".join(
            [
                f"{self.folder}: model.ksr of {self.bytes:,} bytes, {self.ratio:.2f} times smaller "
                f"than dense ({self.dense_bytes:,} bytes)",
                f"  largest difference from Keras  {self.largest_error:.1e}",
                f"  memory                         {self.memory:,} bytes",
                f"  program                        {program}",
            ]
        )
