"""Callbacks for `model.fit`."""

from keras_sparse_rnn.callbacks.block_pruning import BlockPruning
from keras_sparse_rnn.callbacks.regrowth import Regrowth
from keras_sparse_rnn.callbacks.strength_schedule import StrengthSchedule

__all__ = ["BlockPruning", "Regrowth", "StrengthSchedule"]
