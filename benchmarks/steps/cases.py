"""What is measured."""

import dataclasses

GATES = {
    "lstm": 4,
    "gru": 3,
    "gru_reset_before": 3,
    "rnn": 1,
    "rnn_relu": 1,
    "dense": 1,
}
TYPES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class Case:
    """A cell of `units` units and as many inputs, unless `inputs` says how many, of which
    `density` of the blocks are kept.
    """

    cell: str
    units: int
    block: tuple
    weights: str
    activations: str
    density: float
    steps: int
    inputs: int = 0

    def ours(self):
        """The arguments of ours.c."""
        return [
            self.cell,
            self.units,
            self.inputs or self.units,
            *self.block,
            self.weights,
            self.activations,
            self.density,
            self.steps,
        ]

    def ops(self):
        """The arguments of ops.cc; None where the TensorFlow ops have no such cell."""
        if self.cell == "dense":
            return None
        arguments = self.ours()
        del arguments[6]
        return arguments

    def rnnoise(self):
        """The arguments of rnnoise.c, of the same density in its own blocks; None for what it
        has not.
        """
        inputs = self.inputs or self.units
        if self.cell != "gru" or inputs != self.units or self.units % 8:
            return None
        return [self.units, "int8" if self.activations == "int8" else "float32", self.density]

    def weight_bytes(self):
        """Of live weights, as they are stored when activations are of this kind."""
        outputs = self.units * GATES[self.cell]
        inputs = (self.inputs or self.units) + (0 if self.cell == "dense" else self.units)
        size = 1 if self.activations == "int8" else TYPES[self.weights]
        return round(inputs * outputs * self.density) * size

    def name(self):
        shape = "x".join(map(str, self.block))
        kind = self.weights if self.activations == "float32" else f"{self.weights} x int8"
        return f"{self.cell.upper()}-{self.units}, {shape}, {kind}, T={self.steps}"


def table():
    """Every case: the sizes that products use, and the LSTM of the README."""
    kinds = [
        ((4, 8), "int8", "int8"),
        ((16, 16), "int8", "int8"),
        ((16, 16), "bfloat16", "float32"),
        ((16, 16), "float32", "float32"),
    ]
    cases = [
        Case("gru", units, block, weights, activations, 0.1, steps)
        for units in (96, 192, 384, 512, 1024)
        for block, weights, activations in kinds
        for steps in (1, 100)
    ]
    shapes = ((8, 8), (4, 16), (4, 4), (1, 16))
    cases += [Case("gru", 384, shape, "int8", "int8", 0.1, 1) for shape in shapes]
    lstm = ("int8", "int8"), ("float32", "float32")
    return cases + [Case("lstm", 512, (16, 16), *kinds, 0.1, 1) for kinds in lstm]
