"""Activations that are layers, with weights of their own."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr


class Snake(keras.layers.Layer):
    """`x + sin(ax)^2 / a` (Ziyin et al. 2020), not registered with Keras."""

    def build(self, shape):
        self.a = self.add_weight(shape=(shape[-1],), initializer="ones", name="a")

    def call(self, x):
        return x + keras.ops.square(keras.ops.sin(self.a * x)) / self.a


def trained(layer, shape):
    """A model around `layer` whose weights are all random, half of the kernels zero."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Dense(16, "tanh", name="below"),
            layer,
            keras.layers.Dense(4, name="above"),
        ]
    )
    model(np.ones((1, *shape), np.float32))  # an activation is built by its first call
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.weights])
    ksr.prune(model, 0.5, (4, 4), layers=layer.name)
    kernel = getattr(layer, "cell", layer).kernel
    kernel.assign(np.where(np.arange(kernel.shape[-2])[:, None] < 5, 0, kernel.numpy()))
    return model, random.normal(size=(3, *shape)).astype(np.float32)


@pytest.mark.parametrize("activation", [keras.layers.PReLU, Snake])
@pytest.mark.parametrize("kind", [keras.layers.Dense, keras.layers.LSTM, keras.layers.GRU])
def test_their_weights_are_taken_along(kind, activation):
    shape = (8,) if kind is keras.layers.Dense else (5, 8)
    model, x = trained(kind(12, activation=activation(), name="layer"), shape)
    outputs = model(x).numpy()
    for options in ({"storage": "masked"}, {"kernel": "reference"}):
        sparse = ksr.substitute(model, (4, 4), dense=True, **options)
        assert np.allclose(sparse(x), outputs, atol=1e-5)
        assert np.allclose(ksr.to_dense(sparse)(x), outputs, atol=1e-5)
    smaller = ksr.remove_dead_units(model)
    assert smaller.get_layer("below").units <= 11
    assert np.allclose(smaller(x), outputs, atol=1e-5)


def test_each_twin_trains_its_own():
    model, x = trained(keras.layers.Dense(12, activation=keras.layers.PReLU(), name="layer"), (8,))
    sparse = ksr.substitute(model, (4, 4), dense=True)
    one, other = (each.get_layer("layer").activation for each in (model, sparse))
    assert one is not other
    other.alpha.assign(other.alpha + 1)
    assert not np.allclose(one.alpha, other.alpha)


def test_what_the_optimizer_knows_of_them_is_taken_along():
    model, x = trained(keras.layers.Dense(12, activation=keras.layers.PReLU(), name="layer"), (8,))
    model.compile("adam", "mse")
    y = np.ones((3, 4), np.float32)
    model.fit(x, y, epochs=3, verbose=0)
    sparse = ksr.substitute(model, (4, 4), storage="masked", dense=True)
    assert isinstance(sparse.get_layer("layer"), ksr.layers.BlockSparseDense)
    for one in (model, sparse):
        one.fit(x, y, epochs=2, verbose=0)
    assert np.allclose(
        model.get_layer("layer").activation.alpha,
        sparse.get_layer("layer").activation.alpha,
        atol=1e-6,
    )


def test_a_convolution_that_loses_inputs_keeps_them():
    activation = keras.layers.PReLU(shared_axes=[1])
    layer = keras.layers.Conv1D(12, 3, activation=activation, name="layer")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((9, 8)), keras.layers.Dense(16, "tanh", name="below"), layer]
    )
    x = np.random.default_rng(1).normal(size=(3, 9, 8)).astype(np.float32)
    model(x)
    activation.alpha.assign(activation.alpha + 0.3)
    kernel = layer.kernel.numpy()
    kernel[:, :5] = 0
    layer.kernel.assign(kernel)
    smaller = ksr.remove_dead_units(model)
    assert smaller.get_layer("below").units == 11
    assert np.allclose(smaller(x), model(x), atol=1e-5)
