"""What a config may name: classes and functions that are known, and nothing else.

A config comes from a file, and a file may come from anyone. So whatever a config names is looked up
first, among the classes of this package, those of Keras and those that the user has registered with
`keras.saving.register_keras_serializable`. What is not among them is refused before anything is
imported, made or called."""

import keras

from keras_sparse_rnn.patterns import GraphPattern, NofM

REGISTER = "keras.saving.register_keras_serializable"
# What a class, or Keras, raises for a config with other keys or of another form.
WRONG_CONFIG = (TypeError, KeyError, AttributeError, IndexError)

for kind in (GraphPattern, NofM):  # in a package that is NumPy alone
    keras.saving.register_keras_serializable(package="keras_sparse_rnn")(kind)
del kind


def deserialize(config, kind, name):
    """The object that `config`, written by `keras.saving.serialize_keras_object`, stands for.

    Args:
        config: the dict.
        kind: the class whose instance it must be: one of ours, a subclass of it, or of the user's
            own.
        name: what the value is called in the error.

    Raises:
        ValueError: the config names no class that is registered, or one of another kind (nothing
            has been made then); or the class cannot be made from what stands in it.
    """
    registered = _registered_name(config)
    found = find_registered(registered)
    if not isinstance(found, type) or not issubclass(found, kind) or is_special(config):
        raise ValueError(
            f"`{name}` in a config must be a {kind.__name__} of keras_sparse_rnn, or one of your "
            f"own that is registered with {REGISTER}. Received: "
            + (
                f"{config!r}"
                if registered is None or is_special(config)
                else f"registered_name={registered!r}"
            )
        )
    try:
        if not isinstance(config["config"], dict | None):  # Keras 3.13 takes [] for an empty dict
            raise TypeError(f"a config is a dict, not {config['config']!r}")
        made = keras.saving.deserialize_keras_object(config)
    except WRONG_CONFIG as error:
        raise ValueError(
            f"`{name}` in a config must have what {found.__name__}.get_config writes. Received: "
            f"{config!r}, of which no {found.__name__} can be made"
        ) from error
    if not isinstance(made, kind):
        raise ValueError(
            f"`{name}` in a config must stand for a {kind.__name__}. Received: {config!r}, of "
            f"which a {type(made).__name__} was made"
        )
    return made


def is_special(config):
    """Whether Keras takes a config for something else than an object of the class that is
    registered under its `registered_name`: it looks at the `class_name` first, and imports the
    module of a `__typespec__`.
    """
    name = config.get("class_name")
    return not isinstance(name, str) or name.startswith("__")


def find_registered(name):
    """What the user, or this package, has registered under `name`; `None` if that is nothing."""
    return keras.saving.get_registered_object(name) if isinstance(name, str) else None


def registered_name(kind):
    """The name under which the class `kind` is registered, or `None` if it is not."""
    name = keras.saving.get_registered_name(kind)
    return name if find_registered(name) is kind else None


def _registered_name(config):
    """What Keras would look for first."""
    if not isinstance(config, dict):
        return None
    return config.get("registered_name") or config.get("class_name")
