"""The network of the memory tasks: layers, counts, live weights gate by gate."""

import keras
import numpy as np

import keras_sparse_rnn as ksr

EMBEDDING = 16
CELLS = {
    "lstm": (keras.layers.LSTM, ksr.layers.BlockSparseLSTM),
    "gru": (keras.layers.GRU, ksr.layers.BlockSparseGRU),
}
GATES = {
    "lstm": ("input", "forget", "candidate", "output"),
    "gru": ("update", "reset", "candidate"),
}


def build(task, cell, layer):
    """A network: codes int32 `[batch, length]` to logits `[batch, predictions, outputs]`.

    Args:
        task: `Brackets` or `Copying`.
        cell: one of `CELLS`, the name of the recurrent layer.
        layer: the recurrent layer.
    """
    inputs = keras.Input((task.length,), dtype="int32", name="codes")
    x = keras.layers.Embedding(task.characters, EMBEDDING, name="embedding")(inputs)
    x = layer(x)
    x = keras.layers.Cropping1D((task.unscored, 0), name="scored")(x) if task.unscored else x
    return keras.Model(inputs, keras.layers.Dense(task.outputs, name="logits")(x), name="memory")


def dense(task, cell, units, block_shape):
    """A network of a dense layer that can be pruned: it skips blocks that have become zero."""
    layer = CELLS[cell][0](units, return_sequences=True, name=cell)
    block_shape = tuple(min(size, units) for size in block_shape)
    model = build(task, cell, layer)
    return ksr.substitute(model, block_shape=block_shape, storage="masked")


def sparse(task, cell, units, block_shape, sparsity):
    """A network that is sparse from the start: random blocks, shared out by Erdos-Renyi."""
    gates = len(GATES[cell])
    shapes = [(inputs, units, gates) for inputs in (EMBEDDING, units)]
    first, both = (ksr.patterns.BlockGrid(*shape, block_shape).count for shape in shapes)
    both += first
    of_kernel, _ = ksr.patterns.erdos_renyi(sparsity, shapes)
    live = round((1 - of_kernel) * first)
    options = {"live_blocks": (live, round((1 - sparsity) * both) - live)}
    layer = CELLS[cell][1](units, block_shape, return_sequences=True, name=cell, **options)
    return build(task, cell, layer)


def unconnected(task, cell, units, block_shape):
    """A network without a recurrent kernel: units see the inputs, and nothing of each other."""
    gates = len(GATES[cell])
    grid = ksr.patterns.BlockGrid(EMBEDDING, units, gates, block_shape)
    options = {"live_blocks": (grid.count, 0)}
    layer = CELLS[cell][1](units, block_shape, return_sequences=True, name=cell, **options)
    return build(task, cell, layer)


def parameters(model):
    """The weights that are not zero by pruning."""
    return sum(
        int(np.count_nonzero(w)) if w.path.endswith("kernel") else w.shape.num_elements()
        for w in model.trainable_weights
    )


def total(task, cell, units, sparsity=0.0):
    """How many parameters a network has whose recurrent layer is pruned to `sparsity`; to within
    half a block.
    """
    gates = len(GATES[cell])
    live = round((1 - sparsity) * gates * units * (EMBEDDING + units))
    biases = gates * units * (2 if cell == "gru" else 1)
    return task.characters * EMBEDDING + live + biases + (units + 1) * task.outputs


def small_units(task, cell, units, sparsity):
    """The units of the dense network whose parameters come nearest to those of a pruned one."""
    count = total(task, cell, units, sparsity)
    return min(range(1, units + 1), key=lambda one: abs(total(task, cell, one) - count))


def live_weights(model, cell):
    """How many weights of each gate are not zero: a dict of `"kernel"` and `"recurrent_kernel"` to
    dicts of `GATES`.
    """
    layer = ksr.to_dense(model).get_layer(cell)
    found = {}
    for name in ("kernel", "recurrent_kernel"):
        kernel = getattr(layer.cell, name).numpy()
        gates = kernel.reshape(len(kernel), len(GATES[cell]), layer.units)
        counts = np.count_nonzero(gates, axis=(0, 2)).tolist()
        found[name] = dict(zip(GATES[cell], counts))
    return found
