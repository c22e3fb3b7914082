"""The speech recogniser: everything that it depends on, its layers, its weights."""

import dataclasses

import keras
import numpy as np

import keras_sparse_rnn as ksr
from experiments.speech.speech_data import FEATURES

CELLS = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU}
GATES = {"rnn": 1, "gru": 3}
# A GRU's reset gates would lose nearly everything if gates were compared with each other.
SCOPES = {"rnn": "model", "gru": "gate"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained; everything that a result depends on.

    Args:
        cell: `"rnn"` or `"gru"`.
        layers: bidirectional ones.
        units: of each direction of each layer.
        steps: batches in all.
        batch: utterances in a batch.
        learning_rate: at the peak; warmed up over the first 5 % of the steps, then brought to zero
            along a cosine.
        sparsity: of the recurrent layers' kernels at the end; 0 trains a dense model.
        block_shape: `(rows, columns)` that are pruned together.
        lasso: strength of a group lasso on these kernels, in the same blocks, until the pruning
            ends.
        scope: `"gate"`, `"kernel"` or `"model"`, as in `ksr.recipes.PruneTrained`, by which it is
            pruned.
        criterion: a name, as in `BlockPruning`.
        seed: of the weights and of the order of the batches.
    """

    cell: str = "gru"
    layers: int = 3
    units: int = 256
    steps: int = 4800
    batch: int = 16
    learning_rate: float = 3e-3
    sparsity: float = 0.0
    block_shape: tuple = (16, 16)
    lasso: float = 0.0
    scope: str = "model"
    criterion: str = "fisher"
    seed: int = 1

    def name(self):
        """A short name that tells the models of one run apart."""
        kind = (
            "dense"
            if not self.sparsity
            else f"{100 * self.sparsity:.3g}%-{self.block_shape[0]}x{self.block_shape[1]}"
        )
        scope = "" if self.scope == SCOPES[self.cell] or not self.sparsity else f"-{self.scope}"
        criterion = "" if self.criterion == Recipe.criterion else f"-{self.criterion}"
        lasso = "-lasso" * bool(self.lasso)
        what = f"{self.cell}{self.units}-{kind}{lasso}{scope}{criterion}"
        return f"{what}-{self.steps}steps-seed{self.seed}"


def build(recipe, letters):
    """A recogniser: features `[batch, frames, FEATURES]` to log-probabilities `[batch, frames, 1 +
    letters]`, class 0 the blank.

    Layers of two directions, which are added as in Deep Speech 2, each layer normalised. Frames
    that are all zero are masked.
    """
    inputs = keras.Input((None, FEATURES), name="features")
    x = keras.layers.Masking(0.0, name="mask")(inputs)
    for number in range(1, recipe.layers + 1):
        layer = CELLS[recipe.cell](recipe.units, return_sequences=True, name=f"layer{number}")
        x = keras.layers.Bidirectional(layer, merge_mode="sum", name=f"both{number}")(x)
        x = keras.layers.LayerNormalization(name=f"normalization{number}")(x)
    logits = keras.layers.Dense(letters + 1, name="logits")(x)
    return keras.Model(inputs, keras.ops.log_softmax(logits), name="speech_ctc")


def masked(model, recipe):
    """The model in layers that compute only the blocks that are not zero. (A dense one may have
    fewer units than a block has rows.)
    """
    block_shape = tuple(min(size, recipe.units) for size in recipe.block_shape)
    return ksr.substitute(model, block_shape=block_shape, storage="masked")


def weights(recipe, letters, units=None, sparsity=None):
    """How many weights are not zero by pruning, in closed form: kernels, of which `sparsity` are
    zero, biases, normalisation, readout.
    """
    units = recipe.units if units is None else units
    sparsity = recipe.sparsity if sparsity is None else sparsity
    inputs = FEATURES + (recipe.layers - 1) * units
    kernels = 2 * GATES[recipe.cell] * units * (inputs + recipe.layers * units)
    # Keras's GRU has two biases, one of which the reset gate acts on.
    biases = 2 * recipe.layers * units * {"rnn": 1, "gru": 6}[recipe.cell]
    return (
        round(kernels * (1 - sparsity))
        + biases
        + 2 * recipe.layers * units
        + (units + 1) * (letters + 1)
    )


def parameters(model):
    """The weights that are not zero by pruning: all of the model's, less the zeros of its
    kernels.
    """
    return sum(
        int(np.count_nonzero(w)) if "kernel" in w.path else w.shape.num_elements()
        for w in model.trainable_weights
    )


def sparsity_of(model):
    """The fraction of the weights of all recurrent layers' kernels that is zero."""
    kernels = [
        w.numpy() for w in model.trainable_weights if "kernel" in w.path and "logits" not in w.path
    ]
    return 1.0 - sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)
