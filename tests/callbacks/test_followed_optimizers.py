"""Which optimizer a proximal constraint takes its step size from."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.constraints import ProximalGroupLasso


def compiled(constraint, rate):
    keras.utils.set_random_seed(1)
    rnn = keras.layers.SimpleRNN(8, recurrent_constraint=constraint)
    model = keras.Sequential([keras.Input((2, 5)), rnn, keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def pulled(model, callbacks):
    """By how much the weights of the recurrent kernel shrink in a step whose gradient is zero."""
    kernel = model.layers[0].cell.recurrent_kernel
    before = np.abs(kernel.numpy())
    x = np.zeros((8, 2, 5), "float32")
    model.fit(x, model(x), batch_size=8, verbose=0, callbacks=callbacks)
    return (before - np.abs(kernel.numpy())).max()


def test_the_learning_rate_is_that_of_the_optimizer_of_the_last_compile():
    model = compiled(ProximalGroupLasso(0.5, (1, 1)), 0.1)
    schedule = ksr.callbacks.StrengthSchedule()
    assert pulled(model, [schedule]) == pytest.approx(0.05, rel=1e-3)
    model.compile(keras.optimizers.SGD(0.02), "mse")
    assert pulled(model, [schedule]) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("compiled_anew", [True, False])
def test_without_the_callback_no_earlier_optimizer_is_followed(compiled_anew):
    model = compiled(ProximalGroupLasso(0.5, (1, 1)), 0.1)
    pulled(model, [ksr.callbacks.StrengthSchedule()])
    if compiled_anew:
        model.compile(keras.optimizers.SGD(0.02), "mse")
    with pytest.raises(ValueError, match="`learning_rate` of ProximalGroupLasso must be a number"):
        pulled(model, [])


def test_one_that_follows_by_hand_goes_on_doing_so():
    constraint = ProximalGroupLasso(0.5, (1, 1))
    model = compiled(constraint, 0.1)
    constraint.follow(keras.optimizers.SGD(0.2))
    assert pulled(model, []) == pytest.approx(0.1, rel=1e-3)
    assert pulled(model, [ksr.callbacks.StrengthSchedule()]) == pytest.approx(0.05, rel=1e-3)
    assert pulled(model, []) == pytest.approx(0.1, rel=1e-3)
