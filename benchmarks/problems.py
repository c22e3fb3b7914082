"""What is measured: a `Problem` is one computation of one size, a `Case` one way to do it."""

import dataclasses

GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1, "matmul": 1}
CELLS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN", "matmul": "product"}
MODES = {
    "forward": "the outputs of a whole sequence",
    "gradient": "forward and backward: gradients of the input and of all weights",
    "train": "a whole training step: forward, mean squared error, backward, Adam",
    "step": "one step of a stateful layer, one call of a function for each",
    "steps": "100 steps of a stateful layer, written one after the other in one function",
    "loop": "steps of a cell that the code calls, each output the next input",
    "product": "a matrix product",
    "identity": "a function that does nothing: what a call costs",
    "memory": "the memory of a training step",
}
# The name of each peer in tables and charts, by peer and form.
SERIES = {
    ("keras", ""): "Keras graph",
    ("keras_xla", ""): "Keras XLA",
    ("tensorflow", ""): "TensorFlow",
    ("torch", ""): "torch",
    ("onnxruntime", ""): "ONNX Runtime",
    ("litert", ""): "LiteRT",
    ("litert", "sparse"): "LiteRT sparse",
    ("torch", "bsr"): "torch BSR",
    ("scipy", "bsr"): "scipy BSR",
    ("ours", ""): "ours",
    ("ours", "bfloat16"): "ours, bfloat16",
    ("ours", "int8"): "ours, int8",
    ("ours", "int8 x int8"): "ours, int8 x int8",
    ("ours", "idle"): "ours, after idleness",
    ("onnxruntime", "idle"): "ONNX Runtime, after idleness",
}
IDLE = "idle"  # the form of a case that waits before each call
PAUSE = 0.05  # seconds that it waits
DENSE = ("Keras graph", "Keras XLA", "TensorFlow", "torch", "ONNX Runtime", "LiteRT")


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Which weights are zero: a fraction `sparsity` of the blocks of each gate, chosen at random.

    Args:
        sparsity: a fraction in [0, 1).
        block_shape: `(rows, columns)` of a block of one gate of a kernel `[inputs, units]`.
    """

    sparsity: float = 0.0
    block_shape: tuple = (16, 16)

    def __str__(self):
        return f"{100 * self.sparsity:g} % in {self.block_shape[0]}x{self.block_shape[1]}"


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to compute a problem.

    Args:
        peer: which worker process does it, a key of `benchmarks.peers.PEERS`.
        pattern: of the weights. A dense peer computes the zeros like all others.
        form: which way the peer does it, where it has several: see `SERIES`.
    """

    peer: str
    pattern: Pattern = Pattern()
    form: str = ""

    @property
    def series(self):
        return SERIES[self.peer, self.form]

    def __str__(self):
        return f"{self.series}, {self.pattern}"


@dataclasses.dataclass(frozen=True)
class Problem:
    """One computation of one size and the cases that are measured in the same rounds.

    Args:
        group: a key of `benchmarks.groups.GROUPS`.
        mode: a key of `MODES`.
        cell: a key of `CELLS`.
        units: of the layer, and its inputs.
        batch, steps: size of `x`, `[batch, steps, units]`; `[batch, units]` in a product.
        cases: `Case`s.
        rounds: turns of each case.
        seconds: how long all turns together should take, calls that are longer than a turn aside.
    """

    group: str
    mode: str
    cell: str
    units: int
    batch: int
    steps: int
    cases: tuple = ()
    rounds: int = 5
    seconds: float = 6.0

    @property
    def key(self):
        return f"{self.group}/{self.mode}/{self.cell}/{self.units}/{self.batch}/{self.steps}"

    @property
    def gates(self):
        return GATES[self.cell]

    @property
    def length(self):
        """How many steps of input there are: `step` computes one at a time, and is checked over
        three.
        """
        return 3 if self.mode == "step" else self.steps

    def __str__(self):
        if self.mode == "identity":
            return "a function that does nothing"
        length = "" if self.cell == "matmul" else f", T {self.steps}"
        return f"{CELLS[self.cell]} {self.mode}, H {self.units}, batch {self.batch}{length}"

    def to_json(self):
        return {
            **dataclasses.asdict(self),
            "cases": [dataclasses.asdict(case) for case in self.cases],
        }

    @classmethod
    def from_json(cls, fields):
        return cls(**{**fields, "cases": tuple(case_from_json(case) for case in fields["cases"])})


def case_from_json(fields):
    pattern = fields["pattern"]
    return Case(
        fields["peer"], Pattern(pattern["sparsity"], tuple(pattern["block_shape"])), fields["form"]
    )
