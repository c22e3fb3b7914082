"""What models can be substituted, and which of their recurrent layers cannot."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.selection import is_built
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.kinds import has_twin
from keras_sparse_rnn.substitution.outside import idle
from keras_sparse_rnn.substitution.references import traced_methods


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
    check_cells(model, of_twins=in_place)


def check_cells(model, of_twins=False):
    """Raises a `ValueError` if a cell in an `RNN` is held by another layer, too; with `of_twins`,
    only such a one as would be replaced.
    """
    layers = private_keras.inner_layers(model)
    for layer in layers:
        if type(layer) is not keras.layers.RNN or (of_twins and not has_twin(layer)):
            continue
        holders = [
            repr(one.name)
            for one in layers
            if any(
                inner is layer.cell
                for inner in private_keras.inner_layers(one, include_self=False, recursive=False)
            )
        ]
        if len(holders) > 1:
            raise ValueError(
                f"`model` must not share a cell between layers, or each would get weights of its "
                f"own: {layer.cell.name!r} of class {type(layer.cell).__name__} is held by "
                f"{' and by '.join(holders)}. Call one RNN layer in each place, for one step with "
                f"a sequence of length 1. Received: the model {model.name!r}"
            )


def unreachable_layers(model, layers):
    """The recurrent layers of `model` that cannot be replaced: of another class, not built, or
    where they cannot be reached. What a model only holds, and does not predict with, is left out.
    """
    held_only = {id(one) for layer in layers if is_rebuildable(layer) for one in idle(layer)}
    reachable = {id(layer) for layer in layers if has_twin(layer) and layer.built}
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if isinstance(layer, keras.layers.RNN) and id(layer) not in reachable | held_only
    ]
