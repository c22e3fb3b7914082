"""How dear a weight is by the distance of the two neurons that it joins: functions of distance for
`Moduli`.

They are those of Mackey et al. 2024 (arXiv 2406.06290), of distances `d` in the units of
`keras_sparse_rnn.manifolds`."""

import contextlib
import inspect
import math

import keras
import tensorflow as tf

from keras_sparse_rnn.configs import REGISTER, WRONG_CONFIG, find_registered, is_special

_PEAK_PLACE = (
    math.log(20) / 3.8
)  # d**2 at which the difference of the Gaussians is largest: d = 0.89
_PEAK = 100 * (math.exp(-_PEAK_PLACE / 5) - math.exp(-4 * _PEAK_PLACE))


def diffusion(distance):
    """`d**2`: the farther, the dearer, without end."""
    return distance * distance


def gauss(distance):
    """`100 * exp(-d**2 / 3)`: what is near is dear, beyond a distance of about 4 nothing costs
    anything.
    """
    return 100 * tf.exp(-distance * distance / 3)


def difference_of_gaussians(distance):
    """`max(g) - g` with `g = 100 * (exp(-d**2 / 5) - exp(-4 * d**2))`: 81, 23, 1, 36 and 77 at d =
    0, 0.5, 1, 2 and 4.

    Free on a ring of radius 0.89 around a neuron, dear on the spot and far away (81 at most). The
    maximum is that over all distances, 81.1, whichever distances there are.
    """
    squares = distance * distance
    return tf.maximum(_PEAK - 100 * (tf.exp(-squares / 5) - tf.exp(-4 * squares)), 0)


def ripple(distance):
    """`50 + 50 * cos(2 * d)`: free on rings at distances of 1.6, 4.7, 7.9, ..."""
    return 50 + 50 * tf.cos(2 * distance)


INHIBITORS = {
    function.__name__: function for function in (diffusion, gauss, difference_of_gaussians, ripple)
}
ACTIVATIONS = [
    name
    for name, value in vars(keras.activations).items()
    if inspect.isfunction(value)
    and not name.startswith("_")
    and name not in ("get", "serialize", "deserialize")
]


def check_inhibitor(inhibitor):
    """Returns the function of distance that `inhibitor` names, or that it is; else raises a
    `ValueError`.
    """
    if isinstance(inhibitor, str) and inhibitor in INHIBITORS:
        return INHIBITORS[inhibitor]
    if not callable(inhibitor):
        raise ValueError(
            "`inhibitor` must be a function of distances or one of "
            f"{', '.join(map(repr, INHIBITORS))}. Received: inhibitor={inhibitor!r}"
        )
    return inhibitor


def deserialize_inhibitor(config):
    """The `inhibitor` argument of a config: a name, or what Keras has written for a function.

    Raises:
        ValueError: it is no function that is known, or a lambda and Keras is in safe mode.
    """
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__lambda__":
        return keras.saving.deserialize_keras_object(config)
    if config.get("class_name") != "function":
        found = find_registered(config.get("registered_name"))
        if isinstance(found, type) and _calls(found) and not is_special(config):
            with contextlib.suppress(*WRONG_CONFIG):
                return keras.saving.deserialize_keras_object(config)
    else:
        found = find_registered(config.get("config"))
        if callable(found) and not isinstance(found, type):
            return found
        # Keras writes its own functions as if they were Python's.
        if config.get("module") == "builtins" and config.get("config") in ACTIVATIONS:
            return getattr(keras.activations, config["config"])
    raise ValueError(
        "`inhibitor` in a config must be the name of an inhibitor, a function of "
        f"keras.activations, or one of your own that is registered with {REGISTER}. Received: "
        f"{config!r}"
    )


def _calls(kind):
    """Whether the objects of a class can be called."""
    return any("__call__" in vars(one) for one in kind.__mro__)
