"""The schedules of tensorflow-model-optimization, adapted."""

import importlib

import keras
import numpy as np

from keras_sparse_rnn.schedules.schedule import Schedule


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class TfmotSchedule(Schedule):
    """A `PruningSchedule` of tensorflow-model-optimization as a schedule of this package; its own
    `frequency` is kept.

    Args:
        schedule: the `PruningSchedule`, of the library or a subclass of your own.
    """

    def __init__(self, schedule):
        if not is_tfmot(schedule):
            raise ValueError(
                f"`schedule` must be a tfmot PruningSchedule. Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.begin_step = int(getattr(schedule, "begin_step", 0))
        end_step = int(getattr(schedule, "end_step", -1))
        self.end_step = None if end_step < 0 else end_step
        self.frequency = getattr(schedule, "frequency", None)

    def __call__(self, step):
        if step < self.begin_step:
            return 0.0
        return float(np.asarray(self.schedule(int(step))[1]))

    def get_config(self):
        config = self.schedule.get_config()
        kind = type(self.schedule)
        return {
            "module": kind.__module__,
            "type": kind.__qualname__,
            "config": config.get("config", config),
        }

    @classmethod
    def from_config(cls, config):
        kind = getattr(importlib.import_module(config["module"]), config["type"])
        return cls(kind(**config["config"]))


def is_tfmot(schedule):
    """Whether `schedule` is a tfmot `PruningSchedule`; does not import tfmot, which is slow to
    load.
    """
    return any(
        kind.__name__ == "PruningSchedule"
        and kind.__module__.startswith("tensorflow_model_optimization")
        for kind in type(schedule).__mro__
    )
