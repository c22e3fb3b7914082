"""What an object of a user's class holds, and putting one layer in the place of another in it.

A layer that Keras has not made can keep its layers anywhere: in attributes, lists and dicts, in
objects of other classes, in functions. `replace_layers` reaches attributes and the containers in
them; `held` sees the rest, too, so that no old layer stays behind unseen.
"""

import dis
import functools
import inspect

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras

PLAIN = (str, bytes, int, float, complex, type(None))
LEAVES = (
    *(*PLAIN, type),
    *(keras.Variable, keras.KerasTensor, keras.optimizers.Optimizer),
)
# Objects of Keras's that hold what a user gave them.
FOLLOWED = (keras.Operation, keras.losses.Loss, keras.metrics.Metric)
READS = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
LIBRARIES = ("keras", "tensorflow", "numpy", "ml_dtypes", "h5py", "builtins")


def held(thing, *, into=lambda layer: True):
    """Yields `(path, object)` for each layer, variable and `tf.function` that can be reached from
    `thing`, each once.

    Args:
        thing: any object.
        into: whether to look for more in a layer.
    """
    seen, todo = {id(thing)}, [("", thing)]
    while todo:
        path, one = todo.pop()
        for step, value in _parts(one):
            if id(value) in seen:
                continue
            seen.add(id(value))
            here = f"{path}{step}"
            if isinstance(value, (keras.Layer, keras.Variable, tf.Variable)) or is_traced(value):
                yield here.lstrip("."), value
            if not isinstance(value, keras.Layer) or into(value):
                todo.append((here, value))


def is_traced(thing):
    """Whether `thing` is a `tf.function`, which goes on with the variables that it was traced
    with.
    """
    return isinstance(thing, tf.types.experimental.PolymorphicFunction)


def traced_methods(layer):
    """The names of the methods of a layer's class that are `tf.function`s."""
    own = [kind for kind in type(layer).__mro__ if not _is_from_a_library(kind)]
    return [name for kind in own for name, value in vars(kind).items() if is_traced(value)]


def replace_layers(holder, swaps):
    """Puts new layers in the place of old ones in the attributes of `holder`, and in the lists,
    dicts, tuples and sets in them. Keras's own lists keep their order, so weights do.

    Args:
        holder: a layer.
        swaps: a dict from `id(old)` to the new layer, built.
    """
    private_keras.replace_tracked(holder, swaps)
    for name, value in list(vars(holder).items()):
        if name not in private_keras.BOOKKEEPING:
            swapped = _swapped(value, swaps)
            if swapped is not value:
                setattr(holder, name, swapped)


def check_gone(model, layers, variables):
    """Raises a `ValueError` if a replaced layer, or a variable of one, can still be reached from
    `model`, or something that may have been traced with it.

    Args:
        model: the model, or layer, in which layers have been replaced.
        layers, variables: what has been replaced: anything that has their ids.
    """
    where = "Hold layers in attributes of the model, or in lists and dicts in them, only"
    for path, thing in held(model):
        if is_traced(thing) and _reaches_layers(thing.python_function):
            reason = "is a tf.function, which may go on with the old ones: Keras compiles by itself"
        elif id(thing) in layers:
            reason = f"holds {thing.name!r} where it cannot be replaced"
        elif id(thing) in variables:
            reason = f"holds the variable {thing.path!r} of one of them"
            where = "Ask the layer for its variables where they are used"
        else:
            continue
        raise ValueError(
            f"Layers of {model.name!r} of class {type(model).__name__} cannot be replaced: "
            f"`{path}` {reason}. {where}"
        )


def _swapped(value, swaps):
    """`value` with new layers; lists, dicts and sets are changed, and returned as they are."""
    if isinstance(value, keras.Layer):
        return swaps.get(id(value), value)
    if isinstance(value, list):
        # Past the methods of Keras's lists, which would track the layer a second time.
        for index, one in enumerate(value):
            list.__setitem__(value, index, _swapped(one, swaps))
    elif isinstance(value, dict):
        for key, one in list(value.items()):
            dict.__setitem__(value, key, _swapped(one, swaps))
    elif isinstance(value, set):
        for one in [one for one in value if id(one) in swaps]:
            set.discard(value, one)
            set.add(value, swaps[id(one)])
    elif isinstance(value, tuple):
        parts = [_swapped(one, swaps) for one in value]
        if any(part is not one for part, one in zip(parts, value)):
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _parts(one):
    """`(how it is written, object)` for what `one` refers to."""
    if isinstance(one, LEAVES) or inspect.ismodule(one):
        return
    if isinstance(one, dict):
        for key, value in one.items():
            if not isinstance(value, PLAIN):
                yield f"[{key!r}]", value
            if not isinstance(key, PLAIN):
                yield f".key {key!r}", key
    elif isinstance(one, (list, tuple, set, frozenset)):
        for index, value in enumerate(one):
            if not isinstance(value, PLAIN):
                yield f"[{index}]", value
    elif isinstance(one, functools.partial):
        yield from ((".func", one.func), (".args", one.args), (".keywords", one.keywords))
    elif inspect.ismethod(one):
        yield from _read(".__self__", one.__self__, one.__func__)
    elif inspect.isfunction(one):
        for cell in one.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # a name that has no value yet
                continue
            yield from _read(".__closure__", value, one)
        yield ".__defaults__", one.__defaults__
        if not _is_from_a_library(one):
            read = _names(one.__code__, lambda step: step.opname.startswith("LOAD_GLOBAL"))
            for name in sorted(read & one.__globals__.keys()):
                yield from _read(f".__globals__[{name!r}]", one.__globals__[name], one)
    elif isinstance(one, FOLLOWED) or not _is_from_a_library(type(one)):
        for name, value in getattr(one, "__dict__", {}).items():
            if not (isinstance(one, keras.Operation) and name in private_keras.BOOKKEEPING):
                yield f".{name}", value


def _read(step, value, function):
    """`value`, which `function` knows; of an object of a user's class only the attributes whose
    names its code has, for it may hold whole models beside what the function reads.
    """
    whole = (*LEAVES, *FOLLOWED, dict, list, tuple, set, frozenset, functools.partial)
    code = getattr(function, "__code__", None)
    if (
        code is None
        or isinstance(value, whole)
        or inspect.isroutine(value)
        or inspect.ismodule(value)
        or _is_from_a_library(type(value))
    ):
        yield step, value
        return
    names = _names(code, lambda step: step.opname in READS)
    for name, attribute in getattr(value, "__dict__", {}).items():
        if name in names:
            yield f"{step}.{name}", attribute


def _reaches_layers(function):
    """Whether a layer, or a weight of one, can be reached from `function`."""
    return any(isinstance(one, (keras.Layer, keras.Variable)) for _, one in held((function,)))


def _names(code, chosen):
    """The names in those instructions of `code`, and of the functions that are defined in it, that
    `chosen` says.
    """
    found = {step.argval for step in dis.get_instructions(code) if chosen(step)}
    return found.union(*(_names(one, chosen) for one in code.co_consts if inspect.iscode(one)))


def _is_from_a_library(thing):
    return (thing.__module__ or "").split(".")[0] in LIBRARIES
