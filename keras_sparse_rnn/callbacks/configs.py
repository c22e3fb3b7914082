"""Schedules and selectors of layers as values that JSON can hold."""

import numbers

import keras

from keras_sparse_rnn import configs, schedules


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
    """The inverse of `serialize_schedule`.

    Raises:
        ValueError: it names a schedule or a layer type that is not known.
    """
    if isinstance(config, list):
        pairs = [one for one in config if isinstance(one, list) and len(one) == 2]
        if len(pairs) != len(config) or any(isinstance(one, list) for one, _ in pairs):
            raise ValueError(
                "A mapping of schedules in a config must be a list of pairs [selector, schedule]. "
                f"Received: {config!r}"
            )
        return {deserialize_selector(one): deserialize_schedule(other) for one, other in pairs}
    if isinstance(config, numbers.Real):
        return config
    return configs.deserialize(config, schedules.Schedule, "schedule")


def serialize_selector(selector):
    """A selector as a value that JSON can hold: a layer type as `{"type": name}`, by its name in
    `keras.layers` or the one under which it is registered.

    Raises:
        ValueError: it is a predicate, or a type that is neither Keras's nor registered.
    """
    if selector is None or isinstance(selector, str):
        return selector
    if isinstance(selector, (list, tuple, set)):
        return [serialize_selector(one) for one in selector]
    if isinstance(selector, type):
        return {"type": _name_of(selector)}
    raise ValueError(
        "A predicate cannot be written into a config: select layers by name or type instead. "
        f"Received: {selector!r}"
    )


def deserialize_selector(config):
    """The inverse of `serialize_selector`.

    Raises:
        ValueError: it names a layer type that is not known.
    """
    if isinstance(config, list):
        return [deserialize_selector(one) for one in config]
    if isinstance(config, dict):
        return _layer_type(config.get("type"))
    return config


def _name_of(kind):
    """The name of a layer type in a config."""
    if _of_keras(kind.__name__) is kind:
        return kind.__name__
    name = configs.registered_name(kind)
    if name is None:
        raise ValueError(
            "A layer type can be written into a config if it is a class of keras.layers or "
            f"registered with {configs.REGISTER}. Received: {kind!r}"
        )
    return name


def _layer_type(name):
    """The layer type that `_name_of` gave this name."""
    for found in (_of_keras(name), configs.find_registered(name)):
        if isinstance(found, type) and issubclass(found, keras.Layer):
            return found
    raise ValueError(
        "A layer type in a config must be the name of a class of keras.layers, or that under "
        f"which a layer is registered with {configs.REGISTER}. Received: type={name!r}"
    )


def _of_keras(name):
    """What Keras calls `name` among its layers and models, or `None`."""
    if not isinstance(name, str):
        return None
    return vars(keras.layers).get(name) or vars(keras.models).get(name)
