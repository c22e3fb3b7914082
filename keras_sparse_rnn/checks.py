"""Checks of the arguments that many functions of the package have: the model, and the console."""

import keras


def is_tf_keras(thing):
    """Whether `thing` is a model, layer or optimizer of tf_keras (Keras 2), or derived from one."""
    return any(kind.__module__.split(".")[0] == "tf_keras" for kind in type(thing).__mro__)


def check_keras_model(model, *, layers=False):
    """Raises a `ValueError` if `model` is no `keras.Model`; with `layers` a single layer passes
    too.
    """
    if isinstance(model, keras.Layer if layers else keras.Model):
        return
    start = "`model` must be a keras.Model. Received: model="
    if is_tf_keras(model):
        raise ValueError(
            f"{start}{getattr(model, 'name', model)!r}, a tf_keras (Keras 2) model. Build the same "
            "model from keras.layers of Keras 3 (`import keras`, and no TF_USE_LEGACY_KERAS in the "
            "environment) and copy its weights: new.set_weights(old.get_weights())"
        )
    raise ValueError(f"{start}{model!r} of type {type(model).__name__}")


def check_console(console):
    """Raises a `ValueError` if nothing can be printed to `console`, which is not None or False."""
    if console is not None and console is not False and not hasattr(console, "print"):
        raise ValueError(
            "`console` must be a rich.console.Console, None to print to standard output, or False "
            f"to print nothing. Received: console={console!r}"
        )
