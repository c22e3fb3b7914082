"""The schedules of tensorflow-model-optimization, adapted."""

import keras
import numpy as np

from keras_sparse_rnn.configs import REGISTER, find_registered, registered_name
from keras_sparse_rnn.schedules.schedule import Schedule

LIBRARY = ("ConstantSparsity", "PolynomialDecay")  # all that tfmot has


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class TfmotSchedule(Schedule):
    """A `PruningSchedule` of tensorflow-model-optimization as a schedule of this package; its own
    `frequency` is kept.

    Args:
        schedule: the `PruningSchedule`, of the library or a subclass of your own. To be written
            into a config, one of your own must be registered with
            `keras.saving.register_keras_serializable`.
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
        return {"type": _name_of(type(self.schedule)), "config": config.get("config", config)}

    @classmethod
    def from_config(cls, config):
        return cls(_kind_of(config.get("type")).from_config(config["config"]))


def is_tfmot(schedule):
    """Whether `schedule` is a tfmot `PruningSchedule`; does not import tfmot, which is slow to
    load.
    """
    return _is_tfmot_class(type(schedule))


def _is_tfmot_class(kind):
    return any(
        one.__name__ == "PruningSchedule" and _is_of_tfmot(one)
        for one in getattr(kind, "__mro__", ())
    )


def _is_of_tfmot(kind):
    return kind.__module__.startswith("tensorflow_model_optimization.")


def _name_of(kind):
    """The name of a class of schedules in a config."""
    if kind.__name__ in LIBRARY and _is_of_tfmot(kind):
        return kind.__name__
    name = registered_name(kind)
    if name is None:
        raise ValueError(
            "A PruningSchedule of your own can be written into a config once it is registered "
            f"with {REGISTER}. Received: {kind!r}"
        )
    return name


def _kind_of(name):
    """The class of schedules that `_name_of` gave this name. Nothing is imported before it is
    known to be one.
    """
    found = find_registered(name)
    if _is_tfmot_class(found):
        return found
    if not isinstance(name, str) or name not in LIBRARY:
        raise ValueError(
            f"`type` of a TfmotSchedule must be {' or '.join(map(repr, LIBRARY))}, or the name "
            f"under which a PruningSchedule of your own is registered with {REGISTER}. Received: "
            f"type={name!r}"
        )
    from tensorflow_model_optimization.sparsity import keras as tfmot

    return getattr(tfmot, name)
