"""Which layers a selector means: a name or pattern, a type, or a predicate (see `selection`)."""

import fnmatch

import keras

from keras_sparse_rnn import private_keras

CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)


def as_selectors(layers, name="layers"):
    """Returns `layers` as a list of selectors, or raises a `ValueError` that names `name`."""
    selectors = list(layers) if isinstance(layers, (list, tuple, set)) else [layers]
    fit = (isinstance(one, (str, type)) or callable(one) for one in selectors)
    for one in selectors:
        if isinstance(one, keras.Layer):  # which is callable, too
            raise ValueError(
                f"`{name}` must name layers: give the name of this one, {one.name!r}. Received: "
                f"{name}={one!r}"
            )
    if not selectors or not all(fit):
        raise ValueError(
            f"`{name}` must be a layer name or pattern, a layer type, a predicate of a layer, or a "
            f"list of these. Received: {name}={layers!r}"
        )
    return selectors


def selects(selector, chain):
    """Whether `selector` matches the last layer of `chain`, or one around it that stands for it."""
    if _match(selector, chain):
        return True
    around = chain[:-1]
    if isinstance(chain[-1], keras.layers.Dense):
        # A nested model is selected for its recurrent layers; only a wrapper stands for the Dense
        # layer in it.
        return (
            bool(around)
            and isinstance(around[-1], keras.layers.Wrapper)
            and selects(selector, around)
        )
    if not is_recurrent(chain[-1]):
        return False
    return any(_match(selector, chain[:length]) for length in range(1, len(chain)))


def _match(selector, chain):
    """Whether `selector` matches the last layer of `chain` itself."""
    layer = chain[-1]
    if isinstance(selector, str):
        names = (layer.name, path(chain))
        return selector in names or any(fnmatch.fnmatchcase(name, selector) for name in names)
    if isinstance(selector, type):
        return isinstance(layer, selector)
    if not any(is_owner(one) for one in private_keras.inner_layers(layer)):
        return False
    try:
        return bool(selector(layer))
    except Exception as error:
        raise ValueError(
            f"A predicate of `layers` failed on the layer {path(chain)!r} "
            f"({type(layer).__name__}): {type(error).__name__}: {error}. It is given every layer "
            "that owns kernels or has them inside, so ask for what not all of these have with "
            "`getattr(layer, name, default)`"
        ) from error


def path(chain):
    """The names of the layers of `chain`, joined by "/"."""
    return "/".join(layer.name for layer in chain)


def is_owner(layer):
    """Whether the layer owns kernels that this package knows how to cut."""
    return isinstance(layer, CELLS + (keras.layers.Dense,)) or _has_recurrent_kernel(layer)


def _has_recurrent_kernel(layer):
    """Whether the layer is a cell, of anyone's making, that is laid out as Keras lays out its
    own.
    """
    units, recurrent = getattr(layer, "units", None), getattr(layer, "recurrent_kernel", None)
    if not isinstance(units, int) or not isinstance(recurrent, keras.Variable):
        return False
    return (
        len(recurrent.shape) == 2
        and recurrent.shape[0] == units
        and recurrent.shape[1] % units == 0
    )


def is_recurrent(layer):
    """Whether the layer is taken when no selector says which are."""
    return isinstance(layer, (keras.layers.RNN,) + CELLS) or _has_recurrent_kernel(layer)
