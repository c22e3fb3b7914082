"""Copies of single layers, made from their configs, and what a copy of a model needs besides."""

import contextlib
import inspect
import tempfile

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.references import held

INPUT_FLAGS = ("optional", "ragged", "sparse")


def copy_from_config(layer, **changes):
    """A copy from the config, with `changes` to it. Works for the plain operations of a functional
    model, too.

    A layer of a class whose config does not make one is returned itself, to be shared, if it holds
    no variable and no other layer: there is nothing in it that two models could quarrel about. So
    is an operation that was given a function.

    Raises:
        ValueError: neither is possible.
    """
    try:
        with keras.saving.custom_object_scope(_unregistered(layer)):
            return type(layer).from_config({**layer.get_config(), **changes})
    except Exception as error:
        inside = [
            f"`{path}`"
            for path, one in held(layer, into=lambda layer: False)
            if isinstance(one, (keras.Layer, keras.Variable, tf.Variable)) and one is not layer
        ]
        if not inside and not getattr(layer, "variables", ()):
            return layer
        is_layer = isinstance(layer, keras.Layer)
        way_out = (
            "Give the class a `get_config` that has every argument of its constructor"
            if is_layer
            else "Call it in a layer of your own, which holds them and has a `get_config`"
        )
        raise ValueError(
            f"The {'layer' if is_layer else 'operation'} {layer.name!r} of class "
            f"{type(layer).__name__} cannot be copied from its config: {error}. Nor can it be "
            f"shared by two models, for it holds layers or variables{': ' if inside else ''}"
            f"{', '.join(inside)}. {way_out}; or cut the model in front of this "
            f"{'layer' if is_layer else 'operation'}, substitute the part before it, and call the "
            "layer on the result"
        ) from error


def copy_of_lambda(layer):
    """A copy around the same functions: Keras would read them from bytecode, which it refuses, and
    which lacks the names that they use.
    """
    copy = type(layer)(
        layer.function,
        output_shape=private_keras.output_shape_of_lambda(layer),
        mask=layer.mask,
        arguments=layer.arguments,
        name=layer.name,
        dtype=layer.dtype_policy,
    )
    copy.supports_masking = layer.supports_masking
    return copy


def copy_of_wrapper(layer, inner):
    """A copy of a wrapper around the layer `inner`, made as Keras makes one from its config.

    Raises:
        ValueError: its class does not make one of its config.
    """
    config = {name: value for name, value in layer.get_config().items() if name != "layer"}
    try:
        return type(layer)(inner, **config)
    except Exception as error:  # whatever a user's constructor raises
        raise ValueError(
            f"The wrapper {layer.name!r} of class {type(layer).__name__} cannot be copied from its "
            f"config: {error}. Let its constructor take the layer first, and every other argument "
            "by the name that it has in its `get_config`"
        ) from error


def inputs_of_copy(model):
    """Inputs for a copy of a Sequential or functional `model`; None where Keras makes the same: it
    forgets which ones may be None, or are sparse.
    """
    graph = private_keras.graph_of(model)
    flags = {
        id(layer.output): {name: True for name in INPUT_FLAGS if getattr(layer, name, False)}
        for layer in graph.layers
        if isinstance(layer, keras.layers.InputLayer)
    }
    if not any(flags.values()):
        return None

    def again(tensor):
        options = {"batch_shape": tensor.shape, "dtype": tensor.dtype, "name": tensor.name}
        return keras.Input(**options, **flags[id(tensor)])

    return keras.tree.map_structure(again, graph.input)


@contextlib.contextmanager
def uncompiled(models):
    """While it lasts, models look as if they had not been compiled, so that cloning does not
    compile (they are recompiled afterwards).
    """
    compiled = [model for model in models if model.compiled]
    try:
        for model in compiled:
            model.compiled = False
        yield
    finally:
        for model in compiled:
            model.compiled = True


def _unregistered(layer):
    """The functions and classes that a config of `layer` may name, by name: so they need not be
    registered with Keras.
    """
    if not isinstance(layer, keras.Layer):
        return {}
    layers = private_keras.inner_layers(layer)
    functions = {
        value.__name__: value
        for one in layers
        for value in vars(one).values()
        if inspect.isfunction(value)
    }
    return {**functions, **{type(one).__name__: type(one) for one in layers}}


def carry_assets(old, new):
    """Vocabularies and the like, which are no variables, and what is computed from variables after
    they were loaded.
    """
    for source, target in zip(private_keras.inner_layers(old), private_keras.inner_layers(new)):
        if hasattr(source, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                source.save_assets(folder)
                target.load_assets(folder)
        if hasattr(target, "finalize_state"):
            target.finalize_state()
