"""What `substitute` would do for the pruned Keras layers of a model, in words: for the report."""

import keras
import numpy as np

from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.substitution.classes import PREDICTING, is_rebuildable, overridden
from keras_sparse_rnn.substitution.copying import copy_from_config
from keras_sparse_rnn.substitution.kinds import is_block_sparse
from keras_sparse_rnn.substitution.models import with_twins
from keras_sparse_rnn.substitution.references import traced_methods
from keras_sparse_rnn.substitution.twins import block_sparse_twin, why_slow
from keras_sparse_rnn.substitution.walking import is_users, walk


def how_to_substitute(model):
    """A sentence on what makes the zeros of the Keras layers of a built `model` count, if anything
    does; empty if there are few zeros.
    """
    pruned = _pruned(model)
    if not pruned:
        return ""
    zeros = "Keras layers store and multiply their zeros"
    if not _takes(model):
        return f"{zeros}."
    replaceable = {id(layer): layer for layer in with_twins(model)}
    gains = {}
    for name, kernel in pruned.items():
        layer = replaceable.get(id(kernel.layer)) or replaceable.get(id(kernel.cell))
        if layer is not None and _gains(layer):
            gains[name] = layer
    others = [name for name in pruned if name not in gains]
    if not gains:
        return f"{zeros}, and keras_sparse_rnn.substitute would leave these as they are."
    dense = any(isinstance(layer, keras.layers.Dense) for layer in gains.values())
    in_place = not is_rebuildable(model)
    call = f"model{', dense=True' if dense else ''}{', in_place=True' if in_place else ''}"
    result = "makes the model one" if in_place else "gives a model"
    rest = f", but for {', '.join(others)}" if others else ""
    return f"{zeros}: keras_sparse_rnn.substitute({call}) {result} that does not{rest}."


def _pruned(model):
    """The `Kernel`s of Keras layers of which more than a tenth is zero, one of each layer or cell,
    by its name.
    """
    found = {}
    for kernel in find_kernels(model, lambda layer: True, strict=False):
        weights = kernel.numpy()
        many = np.count_nonzero(weights) < 0.9 * weights.size
        if many and not is_block_sparse(kernel.layer):
            alone = getattr(kernel.layer, "cell", None) is kernel.cell
            name = kernel.path.removesuffix(f"/{kernel.cell.name}") if alone else kernel.path
            found[name] = kernel
    return found


def _takes(model):
    """Whether `substitute` takes the model, whose classes and layers may stand in its way."""
    if not isinstance(model, keras.Model) or traced_methods(model):
        return False
    for layer in walk(model):
        if is_rebuildable(layer) and overridden(layer, PREDICTING):
            return False  # it would have to be rebuilt to know
        if is_users(layer) and layer is not model:
            try:
                copy_from_config(layer)
            except ValueError:
                return False
    return True


def _gains(layer):
    twin, sparse = block_sparse_twin(layer, None, "packed", "auto")
    return sparse and not why_slow(twin)
