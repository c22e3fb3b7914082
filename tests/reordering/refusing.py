"""What the tests of refusals share."""

import keras
import numpy as np
import pytest
from random_models import functional

import keras_sparse_rnn as ksr


def check_refused(make, message):
    """That the units of the LSTM "a" in what `make` makes of an input cannot be followed, for the
    reason `message`, and that nothing is changed then.
    """
    model = functional(lambda x: keras.layers.Dense(2)(make(x)))
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.reorder_units(model)
    assert str(error.value) == (
        "`layers` must be layers whose readers can be followed: the units of a/lstm_cell "
        f"{message}. Leave this layer out with `layers`."
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
