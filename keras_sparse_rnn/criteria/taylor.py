"""Blocks whose loss would not be felt go first: first-order Taylor expansion of the loss."""

import keras
import numpy as np

from keras_sparse_rnn.criteria.criterion import Criterion
from keras_sparse_rnn.gradients import BatchGradients
from keras_sparse_rnn.multi_worker.workers import mean_of_workers


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Taylor(Criterion):
    """`|sum w * dL/dw|` over a block, the mean over some batches: what the loss changes by, to
    first order, when the block is zeroed.

    Molchanov et al. 2017 (arXiv 1611.06440, eq. 8), with weights of a block in place of a feature
    map. The absolute value is taken after the sum over the block, since its weights go together,
    and before the mean over the batches, since near a minimum the gradients of batches cancel and
    their magnitudes tell. Divided by the number of weights, so that partial blocks do not go for
    being small.

    A mask costs a forward and a backward pass over `batches` batches.

    Args:
        data, batches: as in `gradients.BatchGradients`.

    Raises:
        ValueError: `data` has no batch, or the model is compiled without a loss.
    """

    def __init__(self, data, batches=8):
        self._gradients = BatchGradients(data, batches)
        self.data, self.batches = data, self._gradients.batches
        self._scores = {}

    def prepare(self, kernels, model):
        variables = [kernel.variable for kernel, _ in kernels]
        scores = []
        for gradients in self._gradients.take(model, variables):
            effects = [
                np.asarray(v.numpy(), np.float64) * gradient
                for v, gradient in zip(variables, gradients)
            ]
            scores.append(
                [
                    abs(grid.split(effect).sum(axis=(3, 4))) / grid.elements
                    for (_, grid), effect in zip(kernels, effects)
                ]
            )
        means = mean_of_workers(
            [np.mean(own, axis=0) for own in zip(*scores)],
            model.distribute_strategy,
            weight=len(scores),
        )
        self._scores = {id(variable): mean for variable, mean in zip(variables, means)}

    def block_scores(self, kernel, grid, model):
        return self._scores[id(kernel.variable)]

    def end(self, model):
        self._scores = {}
        self._gradients.forget()

    def get_config(self):
        raise ValueError(
            "The data of a criterion Taylor cannot be written into a config. Make the callback "
            "anew instead."
        )
