"""What a model and its copy must not share: a layer, or a weight that both would train.

A layer can read a weight of another without holding the other where Keras, or a copy, would look: a
`Lambda` names it in its function, an operation takes the variable for an argument.
"""

import collections

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.references import held
from keras_sparse_rnn.substitution.walking import sublayers, walk

ADVICE = (
    "Let one layer compute both, called twice, with an argument that says which; or make the model "
    "a subclassed one, which is converted as it stands, with in_place=True"
)


def held_twice(model):
    """The ids of the layers that more than one layer of `model` holds, or the model twice."""
    counts = collections.Counter(
        key for layer in walk(model) for key in {id(one) for one in sublayers(layer)}
    )
    return {key for key, count in counts.items() if count > 1}


def check_nothing_shared(model, copies):
    """Raises a `ValueError` if the copy of a layer goes on with another layer of the original
    model, or with a weight that the original trains.

    Args:
        model: the original.
        copies: a dict from `id(layer)` to the copy of the layer.
    """
    pairs = [
        (old, copies[id(old)])
        for old in walk(model)
        if copies.get(id(old), old) is not old and not is_rebuildable(old)
    ]
    inside = {id(old): private_keras.inner_layers(old) for old, _ in pairs}
    copied = {id(old) for old, _ in pairs}
    weights = collections.defaultdict(set)  # the copied layers that have them, by id
    for old, _ in pairs:
        for variable in old.variables:
            weights[id(variable)].add(id(old))
    trained = {id(one) for one in model.trainable_variables}
    for old, new in pairs:
        own = {id(one) for one in inside[id(old)]}
        for path, thing in held(new):
            if id(thing) in copied - own:
                what, advice = f"the layer {thing.name!r}", ADVICE
            elif weights.get(id(thing), own) - own:
                what, advice = f"the weight {thing.path!r}", ADVICE
            elif id(thing) in trained:
                what, advice = f"the weight {thing.path!r}", "Make it in the layer (`add_weight`)"
            else:
                continue
            raise ValueError(
                f"The layer {old.name!r} of class {type(old).__name__} cannot be copied: its copy "
                f"would go on with {what} of the original model, which `{path}` holds. {advice}"
            )
    for holder in filter(is_rebuildable, walk(model)):
        for node in private_keras.nodes(holder) or ():
            for one in keras.tree.flatten((node.arguments.args, node.arguments.kwargs)):
                if id(one) in weights:
                    raise ValueError(
                        f"{model.name!r} cannot be copied: its operation {node.operation.name!r} "
                        f"takes the weight {one.path!r} for an argument, and would go on with that "
                        f"of the original model. {ADVICE}"
                    )
