"""Inputs that are optional or sparse, wrappers of a user's own, and operations with functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import largest_difference, prune

from keras_sparse_rnn.layers import BlockSparseDense, BlockSparseLSTM
from keras_sparse_rnn.patterns import Block
from keras_sparse_rnn.substitution import substitute, to_dense


def x_of():
    return np.random.default_rng(0).normal(size=(6, 5, 8)).astype("float32")


def test_an_optional_input_stays_optional():
    class Sum(layers.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

        def compute_output_shape(self, x_shape, y_shape=None):
            return x_shape

    x, y = keras.Input((5, 8), name="x"), keras.Input((5, 8), optional=True, name="y")
    model = prune(keras.Model({"x": x, "y": y}, layers.LSTM(8)(Sum()(x, y))))
    for new in (substitute(model, (4, 4)), to_dense(model)):
        assert [tensor.name for tensor in new.inputs] == ["x", "y"]
        for given in (None, x_of()):
            inputs = {"x": x_of(), "y": given}
            assert largest_difference(model(inputs), new(inputs)) < 1e-6


@pytest.mark.parametrize("sequential", [False, True])
def test_a_sparse_input_stays_sparse(sequential):
    dense = layers.Lambda(tf.sparse.to_dense, output_shape=(5, 8))
    x, lstm = keras.Input((5, 8), sparse=True), layers.LSTM(8)
    model = keras.Sequential([x, dense, lstm]) if sequential else keras.Model(x, lstm(dense(x)))
    sparse = substitute(prune(model), (4, 4))
    assert sparse.inputs[0].sparse
    inputs = tf.sparse.from_dense(x_of())
    assert largest_difference(model(inputs), sparse(inputs)) < 1e-6


class Scaling(layers.Wrapper):
    def __init__(self, rnn, scale=1.0, **kwargs):
        super().__init__(rnn, **kwargs)
        self.scale = scale

    def call(self, x):
        return self.layer(x) * self.scale

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def test_a_wrapper_of_ones_own_may_call_its_layer_as_it_likes():
    x = keras.Input((5, 8))
    model = prune(keras.Model(x, Scaling(layers.LSTM(8), 2.0, name="it")(x)))
    sparse = substitute(model, (4, 4))
    assert type(sparse.get_layer("it").layer) is BlockSparseLSTM
    assert largest_difference(model(x_of()), sparse(x_of())) < 1e-6


def test_a_wrapper_that_its_config_does_not_make_is_named():
    class Bound(Scaling):
        def __init__(self, rnn, bound, **kwargs):
            super().__init__(rnn, **kwargs)

    x = keras.Input((5, 8))
    model = prune(keras.Model(x, Bound(layers.LSTM(8), 3, name="it")(x)))
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    text = str(error.value)
    assert text.startswith("The wrapper 'it' of class Bound cannot be copied from its config: ")
    assert text.endswith(
        ". Let its constructor take the layer first, and every other argument by the name that it "
        "has in its `get_config`"
    )


def test_a_dense_layer_whose_kernel_is_written_by_its_wrapper_is_left_alone():
    x = keras.Input((5, 8))
    normal = layers.SpectralNormalization(layers.Dense(8), name="normal")
    model = prune(keras.Model(x, layers.Dense(8, name="plain")(normal(layers.LSTM(8)(x)))))
    kernels = [normal.layer.kernel, model.get_layer("plain").kernel]
    for kernel in kernels:
        block = Block((4, 4))
        grid = block.grid(kernel.shape)
        kernel.assign(kernel * grid.expand(block.keep(grid, kernel.numpy(), 0.5)))
    sparse = substitute(model, (4, 4), dense=True)
    assert type(sparse.get_layer("plain")) is BlockSparseDense
    assert type(sparse.get_layer("normal").layer) is layers.Dense
    assert largest_difference(model(x_of()), sparse(x_of())) < 1e-6


def test_an_operation_that_was_given_a_function_is_shared():
    x = keras.Input((5, 8))
    doubled = keras.ops.vectorized_map(lambda t: 2.0 * t, x)
    model = prune(keras.Model(x, layers.LSTM(8)(doubled)))
    assert largest_difference(model(x_of()), substitute(model, (4, 4))(x_of())) < 1e-6


def test_an_operation_whose_function_reads_a_layer_is_named():
    x, dense = keras.Input((5, 8)), layers.Dense(8, name="read")
    states = layers.LSTM(8, return_sequences=True)(dense(x))
    mapped = keras.ops.vectorized_map(lambda t: t @ dense.kernel, states)
    model = prune(keras.Model(x, mapped))
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    text = str(error.value)
    assert text.startswith("The operation 'vectorized_map")
    assert text.endswith(
        "Nor can it be shared by two models, for it holds layers or variables: "
        "`function.__closure__`. Call it in a layer of your own, which holds them and has a "
        "`get_config`; or cut the model in front of this operation, substitute the part before "
        "it, and call the layer on the result"
    )
