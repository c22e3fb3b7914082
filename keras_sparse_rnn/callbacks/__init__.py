"""Callbacks for `model.fit`.

- `BlockPruning` prunes in blocks while the model trains; with a `Regrowth`, blocks may come back.
- `UnitPruning` prunes whole units.
- `Evolution` exchanges blocks of networks that are sparse from the first step on.
- `AveragedWeights` evaluates with the averages of an `optimizers.AveragedSGD`.
- `StrengthSchedule` changes the strength of regularizers while it trains.
- `KeepMasks` trains a pruned model on and leaves zero what is zero.
- `EarlyStopping` is Keras's, but looks only at epochs of the final sparsity.
"""

from keras_sparse_rnn.callbacks.averaged_weights import AveragedWeights
from keras_sparse_rnn.callbacks.block_pruning import BlockPruning
from keras_sparse_rnn.callbacks.early_stopping import EarlyStopping
from keras_sparse_rnn.callbacks.evolution import Evolution
from keras_sparse_rnn.callbacks.keep_masks import KeepMasks
from keras_sparse_rnn.callbacks.regrowth import Regrowth
from keras_sparse_rnn.callbacks.strength_schedule import StrengthSchedule
from keras_sparse_rnn.callbacks.unit_pruning import UnitPruning

__all__ = [
    "AveragedWeights",
    "BlockPruning",
    "EarlyStopping",
    "Evolution",
    "KeepMasks",
    "Regrowth",
    "StrengthSchedule",
    "UnitPruning",
]
