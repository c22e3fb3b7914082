"""What `remove_dead_units` does not take, in words."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers import BlockSparseCell
from keras_sparse_rnn.substitution import few_bits
from keras_sparse_rnn.substitution.classes import (
    PREDICTING,
    is_rebuildable,
    overridden,
)
from keras_sparse_rnn.substitution.kinds import is_block_sparse, owner_of
from keras_sparse_rnn.substitution.models import holders_of

OWN = "is of a class of your own, whose code may do anything with the units that it is given"
REGULARIZERS = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")


def refuse(layer, why, model):
    """Raises the error that names `layer`, through which units of `model` cannot be followed."""
    name = f"{layer.name!r} ({type(layer).__name__})"
    raise ValueError(
        "`model` must be made of layers through which units can be followed, or what reads them "
        f"would not be known: {name} {why}. Received: the model {model.name!r}"
    )


def check_model(model):
    """Raises a `ValueError` if `model` is no built Sequential or functional model."""
    check_keras_model(model)
    if not is_rebuildable(model):
        raise ValueError(
            "`model` must be Sequential or functional: what reads the units of a layer stands in "
            f"its graph. Received: the model {model.name!r} of class {type(model).__name__}"
        )
    if not model.built or private_keras.nodes(model) is None:
        raise ValueError(
            "`model` must be built, for its weights decide which units are dead: give it an Input, "
            f"or call it once. Received: the model {model.name!r}, which is not built"
        )
    _check_cells(model)
    if overridden(model, PREDICTING):
        refuse(model, OWN, model)


def _check_cells(model):
    """Raises a `ValueError` if a cell in an `RNN` is held by another layer, too."""
    for layer in private_keras.inner_layers(model):
        if type(layer) is not keras.layers.RNN:
            continue
        holders = [repr(one.name) for one in holders_of(layer.cell, model)]
        if len(holders) > 1:
            raise ValueError(
                f"`model` must not share a cell between layers, for its units are read in several "
                f"places: {layer.cell.name!r} of class {type(layer.cell).__name__} is held by "
                f"{' and by '.join(holders)}. Call one RNN layer in each place instead. Received: "
                f"the model {model.name!r}"
            )


def check_layer(layer, model):
    """Raises a `ValueError` if nothing is known about what `layer` does with its inputs."""
    ours = layer.cell if type(layer) is keras.layers.RNN else layer
    if type(ours) is BlockSparseCell:
        refuse(layer, "steps a BlockSparseCell. Remove the units of ksr.to_dense(model)", model)
    if is_rebuildable(layer):
        if overridden(layer, PREDICTING):
            refuse(layer, OWN, model)
    elif type(ours).__module__.split(".")[0] != "keras" and not is_block_sparse(layer):
        refuse(ours, OWN, model)
    if type(layer) is keras.layers.Lambda:
        refuse(
            layer, "is a function of your own, which may do anything with what it is given", model
        )
    if is_block_sparse(layer) and layer.weights_choice != "float32":
        refuse(
            layer,
            f"has {layer.weights_choice} weights, which cannot be cut. Remove the units of the "
            "float32 model, and substitute after that",
            model,
        )


def check_cut(layer, model):
    """Raises a `ValueError` if `layer` would compute something else with fewer weights, or if
    something else than its weights knows its units.
    """
    precision = few_bits.precision_of(layer)
    if precision is not None:
        refuse(
            layer,
            f"trains at few bits with {precision!r}, and would round the weights that stay in "
            "another way. Remove the units before you substitute with `low_precision`, or those of "
            "`ksr.substitute(model)`, whose float32 weights are the rounded ones",
            model,
        )
    owner = owner_of(layer)
    for name in REGULARIZERS:
        if isinstance(getattr(owner, name, None), keras.Layer):
            refuse(
                layer,
                f"has a `{name}` with weights of its own, which knows each unit by its place. "
                "Remove the units of a model without it",
                model,
            )


def refuse_emptied(layer, model):
    """Raises the error for a layer that would lose all of its units."""
    raise ValueError(
        "`model` must keep a unit in each layer, for Keras has no layers of none. Nothing that "
        f"the model returns depends on the units of {layer.name!r} ({type(layer).__name__}), so "
        f"the layer itself can go. Received: the model {model.name!r}"
    )
