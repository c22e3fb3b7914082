"""Blocks without which the loss hardly curves go first, by what the optimizer knows already."""

import keras
import numpy as np

from keras_sparse_rnn.criteria.criterion import Criterion
from keras_sparse_rnn.slots import (
    keeps_second_moments,
    knows,
    second_moment,
    trainers_of,
    updates_made,
)

_NO_SQUARES = (
    "`criterion` Fisher needs an optimizer that keeps a running mean of squared gradients: Adam, "
    "AdamW, Nadam, Lamb or RMSprop. With another, compare blocks by magnitude: criterion='l2'. "
    "Received: {}"
)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Fisher(Criterion):
    """`mean w**2 * v` over a block, with `v` the optimizer's running mean of squared gradients.
    Needs no data and costs nothing.

    Optimal brain damage (LeCun, Denker, Solla 1990) says that zeroing a weight of a trained network
    raises the loss by about `h w**2 / 2`, with `h` the weight's own second derivative. Where a
    model predicts a distribution, `h` is about the Fisher information, the expected squared
    gradient (Theis et al. 2018, arXiv 1801.05787), and Adam, AdamW, Nadam, Lamb and RMSprop keep a
    running mean of squared gradients. It is that of the gradients of batches, not of samples, which
    near a minimum is the same up to a factor that all weights share. Gradients that are clipped per
    variable (`clipnorm`) are recorded clipped, each kernel's by a factor of its own, which shifts
    what kernels are worth beside each other (`scope="model"`). The recipe's figures in
    docs/results.md were made with `clipnorm=1.0`.

    Raises:
        ValueError: the optimizer keeps no squared gradients, or has made no step yet (let the
            schedule begin later).
    """

    def begin(self, model):
        optimizers = trainers_of(model)
        if not any(keeps_second_moments(one) for one in optimizers):
            kinds = ", ".join(type(one).__name__ for one in optimizers)
            raise ValueError(_NO_SQUARES.format(kinds or "a model without an optimizer"))

    def block_scores(self, kernel, grid, model):
        optimizers = trainers_of(model)
        squares = second_moment(optimizers, kernel.variable)
        trains = [one for one in optimizers if knows(one, kernel.variable)] or optimizers
        step = updates_made(trains[0])
        if squares is None and step > 0:
            raise ValueError(_NO_SQUARES.format(type(trains[0]).__name__))
        if squares is None or not squares.any():
            raise ValueError(
                "`criterion` Fisher needs the gradients of steps that the optimizer has made: let "
                "the schedule begin later. Received: a running mean of squared gradients that is "
                f"zero or not there yet, at step {step}"
            )
        weights = np.asarray(kernel.numpy(), np.float64)
        return grid.split(weights**2 * squares).sum(axis=(3, 4)) / grid.elements
