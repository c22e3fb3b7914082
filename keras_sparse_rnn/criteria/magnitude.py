"""Blocks of small weights go first."""

import keras

from keras_sparse_rnn.criteria.criterion import Criterion
from keras_sparse_rnn.patterns import CRITERIA, Block, check_choice


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Magnitude(Criterion):
    """The magnitude of a block's weights; `BlockPruning(criterion="l2")` is short for
    `criterion=Magnitude("l2")`.

    Args:
        norm: `"max"` for `max |w|`, `"mean"` for `mean |w|`, `"l2"` for `mean w**2` (see
            `patterns.Block`).
    """

    def __init__(self, norm="max"):
        self.norm = check_choice(norm, CRITERIA, "norm")

    def block_scores(self, kernel, grid, model):
        return Block(grid.block_shape, self.norm).scores(grid, kernel.numpy())

    def get_config(self):
        return {"norm": self.norm}
