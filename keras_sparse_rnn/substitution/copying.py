"""Copies of single layers, made from their configs."""

import inspect
import tempfile

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.references import held


def copy_from_config(layer, **changes):
    """A copy from the config, with `changes` to it. Works for the plain operations of a functional
    model, too.

    A layer of a class whose config does not make one is returned itself, to be shared, if it holds
    no variable and no other layer: there is nothing in it that two models could quarrel about.

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
        if isinstance(layer, keras.Layer) and not inside and not layer.variables:
            return layer
        raise ValueError(
            f"The layer {layer.name!r} of class {type(layer).__name__} cannot be copied from its "
            f"config: {error}. Nor can it be shared by two models, for it holds layers or "
            f"variables{': ' if inside else ''}{', '.join(inside)}. Give the class a `get_config` "
            "that has every argument of its constructor; or cut the model in front of this layer, "
            "substitute the part before it, and call the layer on the result"
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
