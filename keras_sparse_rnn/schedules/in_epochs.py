"""A schedule whose steps are epochs."""

import math

import keras

from keras_sparse_rnn import configs
from keras_sparse_rnn.schedules.schedule import Schedule, check_step
from keras_sparse_rnn.schedules.threshold_ramp import ThresholdRamp


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class InEpochs(Schedule):
    """A schedule that was written in epochs: `begin_step=1, end_step=5` are epochs then.

        schedule = ksr.schedules.PolynomialDecay(0.0, 0.9, begin_step=1, end_step=5)
        pruning = ksr.callbacks.BlockPruning(ksr.schedules.InEpochs(schedule))

    `fit` tells the callback how many steps an epoch has, if it knows. It does not for a generator
    or a dataset of unknown length: then, in a loop of one's own, and for
    `StrengthSchedule(until=)`, give `steps_per_epoch`. If a second `fit` has other batches, the
    schedule goes on at the epoch that it has come to, in the same process.

    >>> from keras_sparse_rnn.schedules import PolynomialDecay
    >>> schedule = InEpochs(PolynomialDecay(0.0, 0.9, begin_step=1, end_step=5), 1000)
    >>> round(schedule(3000), 4)
    0.7875

    Args:
        schedule: a schedule of this package whose steps are epochs; not a `ThresholdRamp`, whose
            slopes are in steps.
        steps_per_epoch: how many steps of the optimizer an epoch has; `None`: what `fit` says.

    Raises:
        ValueError: an argument is wrong; or `steps_per_epoch` is needed and not known.
    """

    def __init__(self, schedule, steps_per_epoch=None):
        if not isinstance(schedule, Schedule) or isinstance(schedule, (ThresholdRamp, InEpochs)):
            raise ValueError(
                "`schedule` must be a schedule of keras_sparse_rnn.schedules, but no "
                "ThresholdRamp. "
                f"Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.steps_per_epoch = steps_per_epoch
        if steps_per_epoch is not None:
            self.steps_per_epoch = check_step(steps_per_epoch, "steps_per_epoch", least=1)
        self._first_step = 0

    @property
    def begin_step(self):  # type: ignore[override]
        """In steps."""
        return math.floor(self._first_step + self.schedule.begin_step * self._steps())

    @property
    def end_step(self):  # type: ignore[override]
        """In steps."""
        end = self.schedule.end_step
        return None if end is None else math.floor(self._first_step + end * self._steps())

    def __call__(self, step):
        epoch, end = float((step - self._first_step) / self._steps()), self.end_step
        # Steps are whole, and an epoch of some batches for each of them need not end with one.
        if end is not None and step >= end:
            return self.schedule(self.schedule.end_step)
        if step >= self.begin_step:
            epoch = max(epoch, self.schedule.begin_step)
        return self.schedule(epoch)

    def bound(self, steps_per_epoch, first_step=0):
        """This schedule with what `fit` knows.

        Args:
            steps_per_epoch: how many steps an epoch has, a number that need not be whole.
            first_step: the step at which the first epoch begins; below 0, or above, if earlier
                epochs had another number of steps.
        """
        if self.steps_per_epoch is not None:
            return self
        one = InEpochs(self.schedule)
        one.steps_per_epoch, one._first_step = steps_per_epoch, first_step
        return one

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps_per_epoch": self.steps_per_epoch,
        }

    @classmethod
    def from_config(cls, config):
        schedule = configs.deserialize(config["schedule"], Schedule, "schedule")
        return cls(schedule, config["steps_per_epoch"])

    def __repr__(self):
        return f"InEpochs({self.schedule!r}, steps_per_epoch={self.steps_per_epoch!r})"

    def _steps(self):
        if self.steps_per_epoch is None:
            raise ValueError(
                "`steps_per_epoch` of InEpochs must be given where `fit` does not know how many "
                "steps an epoch has: for a generator or a dataset of unknown length, and in a loop "
                "of your own. Received: steps_per_epoch=None"
            )
        return self.steps_per_epoch
