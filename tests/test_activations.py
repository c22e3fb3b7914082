"""The activations of sparse networks."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr


@pytest.mark.parametrize(("layer", "sign"), [(0, -1), (1, 1), (2, -1), (3, 1)])
def test_the_slope_below_zero_changes_its_sign_from_layer_to_layer(layer, sign):
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 2.0]], "float32")
    expected = np.where(x > 0, x, sign * 0.6 * x)
    np.testing.assert_allclose(ksr.activations.AllReLU(0.6, layer)(x), expected, rtol=1e-6)


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            keras.layers.SimpleRNN(5, activation=ksr.activations.AllReLU(0.6, layer=1)),
            keras.layers.Dense(2, activation=ksr.activations.AllReLU(0.5, layer=2)),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].activation.get_config() == {"slope": 0.6, "layer": 1}


def test_it_keeps_the_dtype_and_lets_a_gradient_through():
    import tensorflow as tf

    x = tf.constant([-1.0, 1.0], tf.float16)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ksr.activations.AllReLU(0.5, 0)(x)
    assert y.dtype == tf.float16
    np.testing.assert_array_equal(tape.gradient(y, x), [-0.5, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 1), "`slope` must be a number of at least 0. Received: slope=-0.1"),
        ((0.6, 1.5), "`layer` must be an integer of at least 0. Received: layer=1.5"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError) as error:
        ksr.activations.AllReLU(*arguments)
    assert str(error.value) == message


def test_units_with_it_are_followed():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation=ksr.activations.AllReLU(0.6, 1)),
            keras.layers.Dense(2),
        ]
    )
    kernel = model.layers[1].kernel
    kernel.assign(np.where(np.arange(4)[:, None] == 2, 0, kernel.numpy()))
    assert ksr.remove_dead_units(model).layers[0].units == 3
