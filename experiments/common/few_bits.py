"""What the experiments on training at few bits have in common: methods, and who computes them."""

import dataclasses

import keras_sparse_rnn as ksr

FLOAT, ROUNDED = "float32", "rounded"
ARGUMENTS = {
    ROUNDED: {"method": "straight_through"},  # whose integers times their step these are
    "straight-through": {"method": "straight_through"},
    "denoising": {},
    "denoising, affine": {"form": "affine"},
}


@dataclasses.dataclass(frozen=True)
class FewBits:
    """One model of the table.

    Args:
        method: `FLOAT` or one of `ARGUMENTS`.
        sparsity: of the model that it starts from; 0: a dense one.
        weight_bits, activation_bits: None of float32.
        seed: of weights and data.
        quick: a small model and few steps.
    """

    method: str
    sparsity: float
    weight_bits: int | None = None
    activation_bits: int | None = None
    seed: int = 1
    quick: bool = False

    def name(self):
        """Of its files."""
        bits = "" if self.weight_bits is None else f"-w{self.weight_bits}a{self.activation_bits}"
        method = self.method.replace(", ", "-").replace("float32", "float")
        return f"{method}{bits}-{100 * self.sparsity:g}%-seed{self.seed}"

    def control(self):
        """The same without bits: trained as long, in float32."""
        return dataclasses.replace(self, method=FLOAT, weight_bits=None, activation_bits=None)

    def low_precision(self):
        """The `LowPrecision` of the layers; None of float32."""
        if self.method == FLOAT:
            return None
        return ksr.quantization.LowPrecision(
            self.weight_bits, self.activation_bits, **ARGUMENTS[self.method]
        )

    def in_cells(self):
        """Whether the int8 cells compute it."""
        return self.activation_bits == 8 and "affine" not in self.method


def in_cells(model):
    """A model of masked layers as it is deployed: int8 weights and activations."""
    return ksr.substitute(model, weights="int8", activations="int8", kernel="native")


def pieces_of(sparsities, bits, methods, seeds, make):
    """Every model of a table, in the order in which they can be made.

    Args:
        sparsities: of the models that they start from.
        bits: pairs, of weights and of activations.
        methods: of `ARGUMENTS`.
        seeds: how many.
        make: function of the arguments of `FewBits`, but `quick`, that makes one of its kind.
    """
    for seed in range(1, seeds + 1):
        for sparsity in sparsities:
            yield make(FLOAT, sparsity, seed=seed)
            for weight_bits, activation_bits in bits:
                for method in methods:
                    yield make(method, sparsity, weight_bits, activation_bits, seed)
