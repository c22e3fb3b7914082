"""Models for the export tests: random weights, biases that are not zero, odd sizes, kernels pruned
in blocks.
"""

import numpy as np

from keras_sparse_rnn.patterns import Block


def randomised(model, seed=0):
    """`model` with random weights everywhere, biases too, so that no mistake in their order or use
    hides.
    """
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * (0.5 / np.sqrt(variable.shape[0])))
    return model


def pruned(kernel, block_shape, gates, sparsity, seed=0):
    """`kernel` with a random `sparsity` of its blocks zero."""
    block = Block(block_shape)
    grid = block.grid(kernel.shape, gates)
    scores = np.random.default_rng(seed).normal(size=kernel.shape)
    return kernel * grid.expand(block.keep(grid, scores, sparsity))


def prune(layer, block_shape, sparsity, seed=0):
    """Prunes both kernels of a recurrent layer in place."""
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[type(layer).__name__]
    for number, variable in enumerate((layer.cell.kernel, layer.cell.recurrent_kernel)):
        variable.assign(pruned(variable.numpy(), block_shape, gates, sparsity, seed + number))


def snapshot(model):
    """The weights of a model, to compare with later."""
    return [variable.numpy().copy() for variable in model.variables]
