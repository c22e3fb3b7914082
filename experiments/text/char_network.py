"""The network of the character language model: layers, counts, its score."""

import keras
import numpy as np

EMBEDDING = 64
CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
GATES = {"lstm": 4, "gru": 3}


def build(characters, units, dropout=0.0, batch=None, stateful=False, cell="lstm"):
    """A language model: characters int32 `[batch, time]` to logits `[batch, time, characters]`.

    The recurrent layer has the name of its `cell`.
    """
    inputs = keras.Input((None,), batch_size=batch, dtype="int32", name="characters")
    x = keras.layers.Embedding(characters, EMBEDDING, name="embedding")(inputs)
    x = CELLS[cell](units, return_sequences=True, stateful=stateful, name=cell)(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, keras.layers.Dense(characters, name="logits")(x), name="char_lm")


def recurrent(model):
    """The recurrent layer of a model of `build`."""
    return next(layer for layer in model.layers if layer.name in CELLS)


def parameters(model):
    """The weights that are not zero by pruning: all of the model's, less the zeros of its
    kernels.
    """
    return sum(
        int(np.count_nonzero(w)) if "kernel" in w.path else w.shape.num_elements()
        for w in model.weights
    )


def live_fraction(layer):
    """The fraction of the weights of both kernels of a recurrent Keras layer that are not zero."""
    kernels = [
        keras.ops.convert_to_numpy(kernel)
        for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel)
    ]
    return sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)


def kernel_weights(units, cell="lstm"):
    """How many weights both kernels of the recurrent layer have."""
    return GATES[cell] * units * (units + EMBEDDING)


def total(characters, units, cell="lstm", sparsity=0.0):
    """How many parameters the model has, less the zeros of its kernels; to within half a block."""
    biases = (
        GATES[cell] * units * (2 if cell == "gru" else 1)
    )  # Keras's GRU has two, one of which the reset gate acts on
    live = kernel_weights(units, cell) - round(sparsity * kernel_weights(units, cell))
    return characters * EMBEDDING + live + biases + (units + 1) * characters


def equal_units(characters, count, cell="lstm"):
    """The units of the dense model whose parameter count comes nearest to `count`."""
    return min(range(1, 4096), key=lambda units: abs(total(characters, units, cell) - count))


def small_units(characters, units, cell="lstm", sparsity=0.0):
    """The units of the dense model that has as many parameters as one of `units` whose kernels are
    pruned to `sparsity`.
    """
    return equal_units(characters, total(characters, units, cell, sparsity), cell)


def equal_sparsity(characters, units, count, cell="lstm"):
    """The sparsity, in thousandths, at which a model of `units` has `count` parameters."""
    return round((total(characters, units, cell) - count) / kernel_weights(units, cell), 3)


def bits_per_character(model, text):
    """The mean of `-log2 p` over the held-out windows, each read from a state of zero."""
    return bits_of(model, *text.evaluation())


def bits_of(model, inputs, targets):
    """The mean of `-log2 p` over windows, int32 `[windows, time]`, each read from a state of
    zero.
    """
    losses = [
        keras.losses.sparse_categorical_crossentropy(
            targets[i : i + 32], model(inputs[i : i + 32]), from_logits=True
        )
        for i in range(0, len(inputs), 32)
    ]
    return float(np.concatenate(losses).mean() / np.log(2))
