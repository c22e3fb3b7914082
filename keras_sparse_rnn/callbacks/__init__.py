"""Callbacks for `model.fit`."""

from keras_sparse_rnn.callbacks.block_pruning import BlockPruning

__all__ = ["BlockPruning"]
