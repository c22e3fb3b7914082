"""Units with small weights go first, with all of their blocks."""

import keras
import numpy as np

from keras_sparse_rnn.criteria.criterion import Criterion
from keras_sparse_rnn.patterns import check_choice
from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.units import outgoing_weights

DIRECTIONS = ("in", "out")


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class UnitImportance(Criterion):
    """The sum of the absolute weights into a unit, or out of it.

        I_j = sum_i |w_ij|

    as in Curci et al. 2021 (arXiv 2102.01732), over all gates and both kernels of a recurrent
    layer. `callbacks.UnitPruning` drops the units of least importance. As the criterion of
    `BlockPruning` it gives a block the mean importance of its units, whatever its gate and rows:
    the blocks of a unit go together.

    Args:
        direction: `"in"`, the weights by which a unit reads; `"out"`, those by which it is read, by
            its own layer and all others; units that are added, merged or passed on as states count
            what all of them are read by. For `"out"` the model must be one that
            `remove_dead_units` takes.

    Raises:
        ValueError: `direction` is neither; with `"out"`, when scores are taken, a layer cannot be
            seen through.
    """

    def __init__(self, direction="in"):
        self.direction = check_choice(direction, DIRECTIONS, "direction")

    def unit_scores(self, kernel, model):
        """The importance of each unit of a layer, float64 `[units]`.

        Args:
            kernel: the `selection.Kernel` record of a kernel of the layer.
            model: the model.
        """
        if self.direction == "out":
            return outgoing_weights(model, kernel.layer)
        both = find_kernels(kernel.cell, lambda layer: layer is kernel.cell, strict=False)
        sums = [np.abs(one.numpy()).sum(axis=0, dtype=np.float64) for one in both]
        return np.concatenate(sums).reshape(-1, kernel.units).sum(axis=0)

    def block_scores(self, kernel, grid, model):
        width = grid.block_shape[1]
        scores = self.unit_scores(kernel, model)
        starts = np.arange(0, grid.units, width)
        means = np.add.reduceat(scores, starts) / np.minimum(width, grid.units - starts)
        return np.broadcast_to(means[None, :, None], grid.shape)

    def get_config(self):
        return {"direction": self.direction}
