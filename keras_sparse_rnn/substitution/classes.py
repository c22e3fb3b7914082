"""Models of a class of the user's own: keeping the class in a copy, or saying what is lost.

A copy is made by the constructor, with the new layers and with what the attributes and the config
say of its other arguments. What the constructor is not told is not in the copy: where the class has
a `call` of its own, the copy must predict what the original predicts.
"""

import inspect
import warnings

import keras

from keras_sparse_rnn import private_keras

PREDICTING = (
    "__call__",
    "call",
    "compute_mask",
    "make_predict_function",
    "predict",
    "predict_on_batch",
    "predict_step",
)
TRAINING = (
    "compile",
    "compute_loss",
    "compute_metrics",
    "evaluate",
    "fit",
    "make_test_function",
    "make_train_function",
    "metrics",
    "test_on_batch",
    "test_step",
    "train_on_batch",
    "train_step",
)


def is_rebuildable(layer):
    """Whether `layer` is a Sequential or functional model, whose layers can be put together
    anew.
    """
    return isinstance(layer, (keras.Sequential, private_keras.Functional))


def overridden(model, names):
    """Those of `names` that the class of `model`, or one between it and Keras's, defines itself."""
    own = [kind for kind in type(model).__mro__ if kind.__module__.split(".")[0] != "keras"]
    return [name for name in names if any(name in vars(kind) for kind in own)]


def in_keras_class(model):
    """`model`, or if its class is the user's, one of Keras's around the same layers."""
    if not is_users(model):
        return model
    if not isinstance(model, keras.Sequential):
        return keras.Model(model.input, model.output, name=model.name)
    plain = keras.Sequential(name=model.name)
    for layer in private_keras.inner_layers(model, include_self=False, recursive=False):
        plain.add(layer, rebuild=False)
    return plain


def is_users(model):
    """Whether the class of `model` is none of Keras's."""
    return type(model) not in (keras.Sequential, keras.Model, private_keras.Functional)


def in_its_class(model, plain):
    """A copy of `model` in its own class: from `plain`, a copy of Keras's class.

    Where the class cannot be kept, `plain` itself, with a `UserWarning` that names what is lost.

    Raises:
        ValueError: predictions depend on what would be lost.
    """
    _check_object(model)
    if not is_users(model):
        return plain
    sequential = isinstance(model, keras.Sequential)
    copy, reason = _constructed(model, plain, sequential)
    if copy is not None:
        copy.name = model.name
        return copy
    kind = type(model).__name__
    predicting = overridden(model, PREDICTING)
    base = "keras.Sequential" if sequential else "keras.Model"
    if predicting:
        arguments = "(layers)" if sequential else "(inputs, outputs)"
        raise ValueError(
            f"{model.name!r} of class {kind} cannot be rebuilt: it has its own "
            f"{listed(predicting)}, on which its predictions depend, but {reason}. Let the "
            f"constructor take {arguments} and hand them to that of {base}, other arguments with "
            "a default in its get_config; or move what `call` adds into a layer."
        )
    lost = overridden(model, TRAINING)
    warnings.warn(
        f"{model.name!r} of class {kind} becomes a plain {base}: {reason}, so the class cannot be "
        "kept" + (f", and its own {listed(lost)} are lost." if lost else "."),
        UserWarning,
        stacklevel=8,
    )
    return plain


def _check_object(model):
    """Looks for methods that were set on the object itself, which no copy has."""
    if predicting := [name for name in PREDICTING if name in vars(model)]:
        raise ValueError(
            f"{model.name!r} cannot be rebuilt: its {listed(predicting)}, on which its "
            "predictions depend, was set on the object. Define it in a class of your own, whose "
            "constructor takes what that of Keras's class takes."
        )
    if training := [name for name in TRAINING if name in vars(model)]:
        warnings.warn(
            f"{model.name!r} loses its {listed(training)}, which was set on the object: set it on "
            "the new model, too.",
            UserWarning,
            stacklevel=9,
        )


def _constructed(model, plain, sequential):
    """`(copy, None)`, or `(None, reason)` where the constructor of `model` does not make one."""
    first = ("layers",) if sequential else ("inputs", "outputs")
    given = (
        ([*plain.inputs, *plain.layers] if plain.built else plain.layers,)
        if sequential
        else (plain.input, plain.output)
    )
    # Of `__init__`: where Keras defines a `__new__`, the class's own signature is that one's.
    parameters = dict(inspect.signature(type(model).__init__).parameters)
    parameters.pop(next(iter(parameters)))  # self
    kinds = {parameter.kind for parameter in parameters.values()}
    open_ended = inspect.Parameter.VAR_POSITIONAL in kinds
    if not (open_ended or all(name in parameters for name in first)):
        return None, f"its constructor does not take ({', '.join(first)})"
    positional, keywords = (given, {}) if open_ended else ((), dict(zip(first, given)))
    if "name" in parameters or inspect.Parameter.VAR_KEYWORD in kinds:
        keywords["name"] = model.name
    for name, parameter in parameters.items():
        if name in (*first, "name", "trainable") or parameter.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            continue
        known = {name: getattr(model, name)} if hasattr(model, name) else _config(model)
        if name not in known:
            return None, f"the argument {name!r} of its constructor is not in its get_config"
        keywords[name] = known[name]
    try:
        copy = type(model)(*positional, **keywords)
    except Exception as error:  # whatever a user's constructor raises
        return None, f"its constructor raises {type(error).__name__}: {error}"
    if [id(layer) for layer in copy.layers] != [id(layer) for layer in plain.layers]:
        return None, "its constructor makes other layers of those that it is given"
    return copy, None


def _config(model):
    try:
        return model.get_config()
    except Exception:  # of a layer that cannot be saved
        return {}


def listed(names):
    """Names in code font, with commas."""
    return ", ".join(f"`{name}`" for name in names)
