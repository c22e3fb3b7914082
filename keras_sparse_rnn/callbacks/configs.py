"""Schedules and selectors of layers as values that JSON can hold."""

import importlib
import numbers

import keras

from keras_sparse_rnn import schedules


def serialize_schedule(schedule):
    """A schedule, a number, or a mapping from selectors to schedules (a list of pairs then), for a
    config.
    """
    if isinstance(schedule, dict):
        return [
            [serialize_selector(selector), serialize_schedule(one)]
            for selector, one in schedule.items()
        ]
    if isinstance(schedule, numbers.Real):
        return schedule
    return keras.saving.serialize_keras_object(schedules.get(schedule))


def deserialize_schedule(config):
    """The inverse of `serialize_schedule`."""
    if isinstance(config, list):
        return {
            deserialize_selector(selector): deserialize_schedule(one) for selector, one in config
        }
    if isinstance(config, numbers.Real):
        return config
    return keras.saving.deserialize_keras_object(config)


def serialize_selector(selector):
    """A selector as a value that JSON can hold; a predicate is a `ValueError`."""
    if selector is None or isinstance(selector, str):
        return selector
    if isinstance(selector, (list, tuple, set)):
        return [serialize_selector(one) for one in selector]
    if isinstance(selector, type):
        return {"module": selector.__module__, "type": selector.__qualname__}
    raise ValueError(
        "A predicate cannot be written into a config: select layers by name or type instead. "
        f"Received: {selector!r}"
    )


def deserialize_selector(config):
    """The inverse of `serialize_selector`."""
    if isinstance(config, list):
        return [deserialize_selector(one) for one in config]
    if isinstance(config, dict):
        return getattr(importlib.import_module(config["module"]), config["type"])
    return config
