"""The cases and the roads: what is measured, and what it is called."""

import dataclasses

CELLS = ("lstm", "gru")
UNITS = (96, 192, 384, 512, 1024, 2048)
SPARSITY, BLOCK = 0.9, (16, 16)
FRAMES = 12  # of the sequence on which outputs are compared


@dataclasses.dataclass(frozen=True)
class Case:
    """A recurrent layer of one size."""

    cell: str
    units: int

    @property
    def inputs(self):
        return self.units // 2

    def __str__(self):
        return f"{self.cell}-{self.units}"


@dataclasses.dataclass(frozen=True)
class Road:
    """A way to run a case.

    Attributes:
        name: what tables and charts call it.
        kind: what runs it: `"litert"`, `"onnx"`, `"c"` or `"ksr"`.
        file: what it opens, in the folder of a case.
        sparse: whether it computes the pruned model, or else the dense one.
        threads: how many it is measured with.
    """

    name: str
    kind: str
    file: str
    sparse: bool
    threads: tuple = (1,)


BOTH = (1, 2)
ROADS = (
    Road("LiteRT, dense float32", "litert", "dense.tflite", False, BOTH),
    Road("LiteRT, dense int8", "litert", "dense-int8.tflite", False, BOTH),
    Road("LiteRT, sparse float32", "litert", "sparse.tflite", True, BOTH),
    Road("LiteRT, sparse int8", "litert", "sparse-int8.tflite", True, BOTH),
    Road("LiteRT, our operators, float32", "litert", "ours.tflite", True),
    Road("LiteRT, our operators, bfloat16", "litert", "ours-bfloat16.tflite", True),
    Road("LiteRT, our operators, int8 x int8", "litert", "ours-int8.tflite", True),
    Road("ONNX Runtime, dense float32", "onnx", "dense.onnx", False, BOTH),
    Road("ONNX Runtime, dense int8", "onnx", "dense-int8.onnx", False, BOTH),
    Road("C, float32", "c", "c", True),
    Road("C, int8 x int8", "c", "c-int8", True),
    Road("ksr_runtime, float32", "ksr", "c/model.ksr", True),
    Road("ksr_runtime, int8 x int8", "ksr", "c-int8/model.ksr", True),
)
CASES = {str(case): case for case in (Case(cell, units) for cell in CELLS for units in UNITS)}
