"""The speech recogniser: everything that it depends on, its layers, its weights."""

import dataclasses
import functools

import keras
import numpy as np

import keras_sparse_rnn as ksr
from experiments.common.pruning import kept_in
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
        pattern: `(N, M)`: of every M inputs of a unit N live, which is what `sparsity` must say;
            blocks are pruned if it is empty.
        ramp: where the pruning begins and ends, as fractions of `steps`; empty: all of it before
            the first step.
        evolution: whether it is sparse from the first step instead, in packed layers whose blocks
            `ksr.callbacks.Evolution` exchanges up to three quarters of the steps.
        lasso: strength of a group lasso on these kernels, in the same blocks, until the pruning
            ends.
        scope: `"gate"`, `"kernel"` or `"model"`, as in `ksr.recipes.PruneTrained`, by which it is
            pruned.
        criterion: a name, as in `BlockPruning`.
        start: the name of the model whose weights it starts from; random ones if empty.
        teacher: the name of the model that it learns from besides, if `distillation` is above 0.
        distillation: share of the loss that is the difference from what the teacher says, frame by
            frame; the rest is CTC's.
        dropout: of each layer's inputs but the first one's, while training.
        label: stands in the name, before the steps, where recipes differ in something else.
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
    pattern: tuple = ()
    ramp: tuple = (0.02, 0.3)
    evolution: bool = False
    lasso: float = 0.0
    scope: str = "model"
    criterion: str = "fisher"
    start: str = ""
    teacher: str = ""
    distillation: float = 0.0
    dropout: float = 0.0
    label: str = ""
    seed: int = 1

    def name(self):
        """A short name that tells the models of one run apart."""
        kind = "dense"
        if self.sparsity:
            shape = "of".join(map(str, self.pattern)) or "x".join(map(str, self.block_shape))
            kind = f"{100 * self.sparsity:.3g}%-{shape}"
        scope = "" if self.scope == SCOPES[self.cell] or not self.sparsity else f"-{self.scope}"
        criterion = "" if self.criterion == Recipe.criterion else f"-{self.criterion}"
        lasso = "-lasso" * bool(self.lasso)
        label = self.label and f"-{self.label}"
        what = f"{self.cell}{self.units}-{kind}{lasso}{scope}{criterion}{label}"
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
        if recipe.dropout and number > 1:
            x = keras.layers.Dropout(recipe.dropout, name=f"dropout{number}")(x)
        layer = layer_of(recipe)(recipe.units, return_sequences=True, name=f"layer{number}")
        x = keras.layers.Bidirectional(layer, merge_mode="sum", name=f"both{number}")(x)
        x = keras.layers.LayerNormalization(name=f"normalization{number}")(x)
    logits = keras.layers.Dense(letters + 1, name="logits")(x)
    return keras.Model(inputs, keras.ops.log_softmax(logits), name="speech_ctc")


def layer_of(recipe):
    """The class of its recurrent layers, or that of packed ones which are sparse from the start."""
    if not recipe.evolution:
        return CELLS[recipe.cell]
    packed = {"rnn": ksr.layers.BlockSparseSimpleRNN, "gru": ksr.layers.BlockSparseGRU}
    return functools.partial(
        packed[recipe.cell], block_shape=recipe.block_shape, sparsity=recipe.sparsity
    )


def masked(model, recipe):
    """The model in layers that compute only the blocks that are not zero."""
    return ksr.substitute(model, block_shape=kept_in(recipe), storage="masked")


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
