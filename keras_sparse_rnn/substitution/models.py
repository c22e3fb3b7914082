"""What models can be substituted, and which of their recurrent layers cannot."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers import BlockSparseCell
from keras_sparse_rnn.selection import is_built
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.kinds import has_twin, is_cell, stepped
from keras_sparse_rnn.substitution.outside import idle
from keras_sparse_rnn.substitution.references import traced_methods
from keras_sparse_rnn.substitution.walking import OF_ONE_CELL, walk


def check_model(model, function, in_place):
    """Raises a `ValueError` if `ksr.<function>` cannot copy `model`, or change it `in_place`."""
    check_keras_model(model)
    if is_rebuildable(model):
        if in_place:
            raise ValueError(
                "`in_place` must be False for a Sequential or functional model, which is copied "
                f"and stays as it is: new = ksr.{function}(model). Received: in_place=True, the "
                f"model {model.name!r} of class {type(model).__name__}"
            )
    elif not in_place:
        raise ValueError(
            "`model` must be a Sequential or functional model to be copied: what a subclassed "
            "model computes stands in its code, which cannot be rebuilt. Convert it as it stands: "
            f"ksr.{function}(model, in_place=True). Received: the model {model.name!r} of class "
            f"{type(model).__name__}"
        )
    elif traced := traced_methods(model):
        raise ValueError(
            f"{model.name!r} of class {type(model).__name__} cannot be converted in place: its "
            f"`{traced[0]}` is a tf.function, which may go on with the old layers. Take the "
            "decorator off: Keras compiles by itself"
        )
    if not (is_built(model) if in_place else model.built):
        raise ValueError(
            "`model` must be built, for its weights decide which blocks live: give it an Input, "
            f"or call it once. Received: the model {model.name!r}, which is not built"
        )
    for layer in walk(model):
        if isinstance(layer, OF_ONE_CELL) and has_twin(layer):
            _check_sole_holder(layer, layer.cell, "cell", model)
        elif type(layer) is BlockSparseCell:
            _check_sole_holder(layer, layer.layer, "layer", model)


def _check_sole_holder(layer, inner, what, model):
    """Raises a `ValueError` if the `inner` cell or layer of `layer` is held by another, too, where
    it would not be replaced, or by something of its own.
    """
    others = [one.name for one in holders_of(inner, model) if one is not layer]
    if others:
        held = layer.name if what == "cell" else inner.name
        raise ValueError(
            f"`model` must hold the {what} of a {type(layer).__name__} in that alone, for it would "
            f"not be the same one where {others[0]!r} holds it: hold the layer, and write "
            f"`self.{held}.cell(...)`, or the like, where it takes a step. Received: the {what} "
            f"{inner.name!r} of {layer.name!r}"
        )


def holders_of(cell, model):
    """The layers of `model` that hold the `cell` of one of them."""
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if any(
            inner is cell
            for inner in private_keras.inner_layers(layer, include_self=False, recursive=False)
        )
    ]


def with_twins(model, storage="packed"):
    """The layers of `model` that can be replaced by their twins, each once, outer ones first: of an
    RNN around a cell, the RNN; or the cell, if something else holds it, too. With packed
    storage what is in a `SpectralNormalization`, which writes a dense kernel, is left out.
    """
    found = [layer for layer in walk(model) if has_twin(layer) and layer.built]
    around = [layer for layer in found if type(layer) is keras.layers.RNN]
    whole = [layer for layer in around if len(holders_of(layer.cell, model)) == 1]
    left = {id(layer) for layer in around} - {id(layer) for layer in whole}
    left |= {id(layer.cell) for layer in whole}
    if storage == "packed":
        writer = keras.layers.SpectralNormalization
        left |= {id(layer.layer) for layer in walk(model) if isinstance(layer, writer)}
    return [layer for layer in found if id(layer) not in left]


def unreachable_layers(model, replaceable):
    """The recurrent layers of `model` that cannot be replaced, nor any cell in them: of another
    class, not built, or where they cannot be reached. What a model only holds, and does not predict
    with, is left out.

    Args:
        model: the model.
        replaceable: the layers `with_twins` of it.
    """
    held_only = {id(one) for layer in walk(model) if is_rebuildable(layer) for one in idle(layer)}
    reachable = {id(one) for layer in replaceable for one in (layer, stepped(layer))}
    for layer in walk(model):
        if type(layer) is keras.layers.RNN and any(
            id(inner) in reachable and is_cell(inner) for inner in walk(layer)
        ):
            reachable.add(id(layer))
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if isinstance(layer, keras.layers.RNN) and id(layer) not in reachable | held_only
    ]
