"""What layers that are prepared once must do, of whatever kind."""

import ctypes
import gc

import keras
import numpy as np

from keras_sparse_rnn import ops

CHANGES = {
    "assign": lambda v: v.assign(2 * v.numpy()),
    "assign_sub": lambda v: v.value.assign_sub(0.5 * v.numpy()),
    "scatter": lambda v: v.value.scatter_nd_add([[0, 0, 0]], [3.0]),
}


def count(name):
    function = getattr(ctypes.CDLL(str(ops.loader._path())), f"keras_sparse_rnn_prepared_{name}")
    function.restype = ctypes.c_int64
    return function()


def follows_in_turns(make, shape, x, x_train):
    """Asserts that a layer of 24 units, trained and asked in turns, predicts by its new weights.

    Args:
        make: makes the layer.
        shape: of one input.
        x, x_train: inputs to predict and to train on.
    """
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), make()])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = model.predict(x, verbose=0)
    for _ in range(3):
        model.fit(x_train, np.ones((len(x_train), 24), "float32"), verbose=0)
        after, trained = model.predict(x, verbose=0), model(x, training=True).numpy()
        np.testing.assert_allclose(after, trained, atol=1e-6)
        assert np.abs(after - before).max() > 1e-4
        before = after


def lets_go(make, x):
    """Asserts that no more than one cell is kept of layers that are gone. Returns a layer that is
    not, and how many cells may be kept.
    """
    kept = make()
    kept(x)
    most = count("now") + 1
    for _ in range(4):
        make()(x)
        gc.collect()
    assert count("now") <= most
    return kept, most
