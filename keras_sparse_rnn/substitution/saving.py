"""Which models with block-sparse layers a Keras file does not bring back."""

import warnings

from keras_sparse_rnn.substitution.copying import copy_from_config
from keras_sparse_rnn.substitution.kinds import is_block_sparse
from keras_sparse_rnn.substitution.walking import is_users, walk


def not_loadable(model):
    """The classes of a user's own in `model` that, made anew from their configs as `load_model`
    does, have other layers in the place of block-sparse ones; by name, sorted.
    """
    return sorted(
        {
            type(layer).__name__
            for layer in walk(model)
            if is_users(layer) and any(map(is_block_sparse, walk(layer))) and not _comes_back(layer)
        }
    )


def _comes_back(layer):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a layer that is thrown away
            copy = copy_from_config(layer)
    except ValueError:
        return False
    return [type(one) for one in walk(copy)] == [type(one) for one in walk(layer)]
