"""Blocks that come back: the live ones of the lowest score make room for dead ones of the largest
gradient.
"""

import contextlib
import math
import numbers

import keras
import numpy as np

from keras_sparse_rnn.gradients import BatchGradients
from keras_sparse_rnn.multi_worker.workers import mean_of_workers
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.slots import first_moment, knows, trainers_of

AWAKE = 1e-30  # so small that no product with it changes a sum, and yet not zero


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Regrowth:
    """Lets dead blocks come back, as RigL (Evci et al. 2020, arXiv 1911.11134) does with weights:
    `BlockPruning(regrowth=Regrowth())`.

    With each mask the callback drops, beyond what the schedule asks for, the share

        zeta = fraction / 2 * (1 + cos(pi * (step - begin_step) / (until - begin_step)))

    of the live weights, in the blocks of the lowest score, and lets as many dead ones live again:
    the blocks of the largest mean squared gradient. Where that is a block that has just been
    dropped, it stays as it was. The sparsity remains that of the schedule, to within half a block.
    With a schedule that rises this is GraNet's gradual pruning with regeneration (Liu et al. 2021,
    arXiv 2106.10404), for blocks.

    A block that comes back begins with weights next to zero (a millionth of the kernel's root mean
    square), and with the optimizer's slots as they are: masks lie on weights and not on gradients,
    so the slots of a Keras layer have followed the block while it was dead. For the same reason
    Adam, Nadam, Lion or SGD with momentum know the gradient of dead blocks, averaged over the last
    steps, and nothing has to be computed. Layers of `storage="masked"` compute no gradients of dead
    blocks: for them, and for optimizers without momentum, give `data`.

    Args:
        fraction: of the live weights that are exchanged at the beginning, in (0, 1).
        until: the step up to which blocks are exchanged, after the first mask by more than a
            `frequency`; `None` for the schedule's `end_step`. Let some training follow it.
        data: batches of which the gradients are taken, by a forward and a backward pass over each,
            for each mask (see `gradients.BatchGradients`); `None` for the optimizer's running mean.
        batches: how many of `data` are used, the first ones.

    Raises:
        ValueError: an argument is out of its range. When training begins: a `ThresholdRamp`, which
            asks for no sparsity; masked storage without `data`; a schedule that does not end and no
            `until`, or one before the first exchange. At a mask: an optimizer that keeps no running
            mean, without `data`.
    """

    def __init__(self, fraction=0.3, until=None, data=None, batches=1):
        valid = (
            isinstance(fraction, numbers.Real)
            and not isinstance(fraction, bool)
            and 0 < fraction < 1
        )
        if not valid:
            raise ValueError(
                f"`fraction` must be a number between 0 and 1. Received: fraction={fraction!r}"
            )
        self.fraction = float(fraction)
        self.until = until if until is None else check_step(until, "until", least=1)
        self.data, self.batches = data, batches
        self._gradients = None if data is None else BatchGradients(data, batches)

    def share(self, step, begin, end):
        """The fraction of live weights to exchange at `step`: `zeta` above, with `end` in place of
        `until`.
        """
        return self.fraction / 2 * (1 + math.cos(math.pi * (step - begin) / (end - begin)))

    def gradients(self, variables, model):
        """The gradients of the loss in `variables`, kernels of `model`, up to a factor: float64
        arrays of their shapes.
        """
        if self._gradients is not None:
            with _awake(variables):
                taken = list(self._gradients.take(model, variables))
            means = [np.mean(own, axis=0, dtype=np.float64) for own in zip(*taken)]
            return mean_of_workers(means, model.distribute_strategy, weight=len(taken))
        optimizers = trainers_of(model)
        means = [first_moment(optimizers, variable) for variable in variables]
        lacking = [variable for variable, mean in zip(variables, means) if mean is None]
        if lacking:
            trains = [one for one in optimizers if knows(one, lacking[0])] or optimizers
            raise ValueError(
                "`regrowth` without `data` needs an optimizer with a running mean of the "
                "gradients: Adam, Nadam, Lion or SGD with momentum. Received: "
                f"{type(trains[0]).__name__}"
            )
        return means

    def end(self):
        """Called when the masks are taken off."""
        if self._gradients is not None:
            self._gradients.forget()

    def get_config(self):
        if self.data is not None:
            raise ValueError(
                "The `data` of a Regrowth cannot be written into a config. Make the callback "
                "anew instead."
            )
        return {"fraction": self.fraction, "until": self.until, "batches": self.batches}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@contextlib.contextmanager
def _awake(variables):
    """Makes no weight of `variables` zero, so that layers of masked storage compute the gradients
    of all.
    """
    before = [variable.numpy() for variable in variables]
    try:
        for variable, weights in zip(variables, before):
            variable.assign(np.where(weights == 0, np.asarray(AWAKE, weights.dtype), weights))
        yield
    finally:
        for variable, weights in zip(variables, before):
            variable.assign(weights)
