"""Scores that can be compared across gates and kernels: what a block is of all that is not yet
worth less.
"""

import keras
import numpy as np

from keras_sparse_rnn.criteria.criterion import Criterion, deserialize, get, serialize
from keras_sparse_rnn.patterns import check_choice


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class LAMP(Criterion):
    """A block's score divided by the sum of all scores, its own among them, that are not below it:
    `BlockPruning(criterion=LAMP("l2"), scope="model")`.

    With `scope="model"` or `"kernel"` the scores of one gate are compared with those of another,
    and a gate whose weights are small by nature loses nearly all its blocks. Layer-adaptive
    magnitude pruning (Lee et al. 2021, arXiv 2010.07611, eq. 4) compares, instead, what dropping a
    block does to what is still there of its own gate: for squared weights the score is the relative
    distortion. So each gate gets a sparsity of its own without a number that has to be chosen. The
    best block of each scores 1, so none is emptied before all are down to one.

    Args:
        criterion: what is divided, a name or a `Criterion` of scores that are not negative. `"l2"`
            is the paper's.
        over: what competes with itself: the blocks of each `"gate"` or those of each `"kernel"`.

    Raises:
        ValueError: an argument is wrong, or a score is negative.
    """

    def __init__(self, criterion="l2", over="gate"):
        self.criterion, self.over = criterion, check_choice(over, ("gate", "kernel"), "over")
        self._inner = get(criterion)

    def begin(self, model):
        self._inner.begin(model)

    def prepare(self, kernels, model):
        self._inner.prepare(kernels, model)

    def block_scores(self, kernel, grid, model):
        scores = np.asarray(self._inner.block_scores(kernel, grid, model), np.float64)
        if (scores < 0).any():
            raise ValueError(
                f"`criterion` of LAMP must give scores of at least 0. Received: {scores.min()} "
                f"from {type(self._inner).__name__}"
            )
        rows = scores.reshape(grid.gates if self.over == "gate" else 1, -1)
        order = np.argsort(-rows, axis=1, kind="stable")
        falling = np.take_along_axis(rows, order, axis=1)
        not_below = np.maximum(np.cumsum(falling, axis=1), np.finfo(float).tiny)
        result = np.empty_like(rows)
        np.put_along_axis(result, order, falling / not_below, axis=1)
        return result.reshape(grid.shape)

    def end(self, model):
        self._inner.end(model)

    def get_config(self):
        return {"criterion": serialize(self.criterion), "over": self.over}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "criterion": deserialize(config["criterion"])})
