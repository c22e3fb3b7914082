"""Rebuilds a model layer by layer, with some of its layers replaced, and carries over everything
that the layers have learnt.
"""

import contextlib
import inspect
import tempfile

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import (
    check_predictions,
    in_its_class,
    in_keras_class,
    is_rebuildable,
)
from keras_sparse_rnn.substitution.twins import Transfer, transfers


def sublayers(layer):
    """The layers inside `layer` that `Rebuilder` can replace."""
    if is_rebuildable(layer):
        return layer.layers
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if isinstance(layer, keras.layers.Wrapper):
        return [layer.layer]
    return []


def walk(layer):
    """`layer` and everything in it that can be replaced, each once, outer layers first."""
    seen, todo = set(), [layer]
    while todo:
        layer = todo.pop(0)
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            todo.extend(sublayers(layer))


class Rebuilder:
    """Makes a copy of a Sequential or functional model, nested, wrapped and shared layers included.

    Args:
        replacements: a dict from `id(layer)` to the new layer, not built, that takes its place.
        compares: whether copies of models with a `call` of their own must predict the same.
    """

    def __init__(self, replacements, compares=True):
        self.replacements = replacements
        self.compares = compares
        self._copies = {}

    def rebuild(self, model):
        """Returns the copy and the list of `Transfer`s that were made from `model` to it."""
        with _uncompiled(layer for layer in walk(model) if isinstance(layer, keras.Model)):
            copy = self._copy(model)
        pairs = [
            (layer, self._copies[id(layer)]) for layer in walk(model) if id(layer) in self._copies
        ]
        made = [transfer for old, new in pairs for transfer in self._transfers(old, new)]
        for transfer in made:
            value = transfer.old.numpy()
            transfer.new.assign(value if transfer.convert is None else transfer.convert(value))
        for old, new in pairs:
            if id(old) not in self.replacements and not sublayers(old):
                _carry_assets(old, new)
        self._carry_trainable(pairs, made)
        return copy, made

    def _copy(self, layer):
        if id(layer) not in self._copies:
            self._copies[id(layer)] = self._made(layer)
        return self._copies[id(layer)]

    def _made(self, layer):
        if id(layer) in self.replacements:
            return self.replacements[id(layer)]
        if is_rebuildable(layer):
            clone = keras.models.clone_model(in_keras_class(layer), clone_function=self._copy)
            copy = in_its_class(layer, clone)
            if type(copy) is type(layer) and self.compares:
                check_predictions(
                    layer, lambda model: Rebuilder({}, compares=False).rebuild(model)[0]
                )
            return copy
        if type(layer) is keras.layers.Lambda:
            return _lambda_copy(layer)
        if not any(
            id(inner) in self.replacements or type(inner) is keras.layers.Lambda
            for inner in walk(layer)
        ):
            return _plain_copy(layer)
        config = layer.get_config()
        if isinstance(layer, keras.layers.Bidirectional):
            inner = {
                "layer": self._copy(layer.forward_layer),
                "backward_layer": self._copy(layer.backward_layer),
            }
            copy = type(layer)(**{**config, **inner})
            # It has made a forward layer of its own from the config of the one that it was given.
            self._copies[id(layer.forward_layer)] = copy.forward_layer
            return copy
        return type(layer)(**{**config, "layer": self._copy(layer.layer)})

    def _transfers(self, old, new):
        """What carries over between two layers, without the layers inside that have transfers of
        their own.
        """
        if id(old) in self.replacements:
            return transfers(old, new)
        inner = [
            (layer, self._copies[id(layer)])
            for layer in sublayers(old)
            if id(layer) in self._copies
        ]
        olds = _own_variables(old, [layer for layer, _ in inner])
        news = _own_variables(new, [layer for _, layer in inner])
        if [variable.shape for variable in olds] != [variable.shape for variable in news]:
            raise ValueError(
                f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: its copy, "
                "made from its config, has variables of other shapes. Expected: "
                f"{[tuple(v.shape) for v in olds]}. Received: {[tuple(v.shape) for v in news]}"
            )
        return [Transfer(*variables) for variables in zip(olds, news)]

    def _carry_trainable(self, pairs, made):
        # A model sets the flag of all that is in it, so models come first and what they hold after
        # them.
        for old, new in sorted(pairs, key=lambda pair: not isinstance(pair[0], keras.Model)):
            new.trainable = old.trainable
        for transfer in made:
            if not transfer.quantized:
                transfer.new.trainable = transfer.old.trainable


@contextlib.contextmanager
def _uncompiled(models):
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


def _plain_copy(layer):
    """A copy from the config. Works for the plain operations of a functional model, too."""
    try:
        with keras.saving.custom_object_scope(_unregistered(layer)):
            return type(layer).from_config(layer.get_config())
    except Exception as error:
        raise ValueError(
            f"The layer {layer.name!r} of class {type(layer).__name__} cannot be copied from its "
            f"config: {error}"
        ) from error


def _lambda_copy(layer):
    """A copy around the same functions: Keras would read them from bytecode, which it refuses, and
    which lacks the names that they use.
    """
    copy = type(layer)(
        layer.function,
        output_shape=layer._output_shape,
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


def _own_variables(layer, without):
    inner = {id(variable) for other in without for variable in other.variables}
    return [variable for variable in layer.variables if id(variable) not in inner]


def _carry_assets(old, new):
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
