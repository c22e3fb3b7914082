"""What block-sparse layers set on their variables in place of what they were given."""

import keras
import pytest
from twinning import INPUTS, PARENTS

from keras_sparse_rnn import layers
from keras_sparse_rnn.regularizers import GroupLasso

ALL = [layer for _, layer in PARENTS.values()] + [layers.BlockSparseDense]


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("layer", ALL)
def test_what_stands_on_variables_is_what_every_keras_takes(layer, storage):
    given = {
        "kernel_regularizer": GroupLasso(0.1, (2, 2)),
        "kernel_constraint": keras.constraints.NonNeg(),
    }
    for arguments in given, {}:  # without any, a constraint clears the padding of packed blocks
        made = layer(11, (4, 3), storage=storage, **arguments)
        made.build((None, 3, INPUTS))
        kernel = made.trainable_variables[0]
        assert kernel.constraint is not None or (storage == "masked" and not arguments)
        assert isinstance(kernel.constraint, keras.constraints.Constraint | None)
        assert isinstance(kernel.regularizer, keras.regularizers.Regularizer | None)
        assert (kernel.regularizer is None) == (not arguments)
