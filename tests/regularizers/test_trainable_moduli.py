"""Places that are trained with the weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr
from keras_sparse_rnn.manifolds import Euclidean, Sphere, Torus
from keras_sparse_rnn.regularizers import Moduli, TrainableModuli


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(3)


def small_model(regularizer, layer=keras.layers.GRU, **options):
    model = keras.Sequential(
        [keras.Input((2, 5)), layer(11, recurrent_regularizer=regularizer, unroll=True)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", **{"run_eagerly": True, **options})
    return model


def data():
    generator = np.random.default_rng(1)
    return generator.normal(size=(16, 2, 5)), np.zeros((16, 1))


@pytest.mark.parametrize("separate", [False, True])
def test_it_begins_as_moduli_with_the_same_gradient_of_the_weights(separate):
    options = {
        "inhibitor": "diffusion",
        "strength": 0.3,
        "seed": 4,
        "separate": separate,
        "gates": 2,
    }
    fixed, trained = Moduli(Sphere(), **options), TrainableModuli(Sphere(), **options)
    kernel = tf.constant(np.random.default_rng(0).normal(size=(7, 14)), tf.float32)
    gradients = []
    for moduli in (fixed, trained):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            penalty = moduli(kernel)
        gradients.append(tape.gradient(penalty, kernel))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-7)
    assert len(trained.trainable_weights) == 1 + separate
    np.testing.assert_allclose(trained.places(7)[1], fixed.places(7)[1], rtol=1e-6)


@pytest.mark.parametrize("inhibitor", ["difference_of_gaussians", "ripple"])
def test_gradients_of_the_places_are_those_of_finite_differences(inhibitor):
    moduli = TrainableModuli(Torus(), inhibitor, 0.3, 4)
    kernel = tf.constant(np.random.default_rng(0).normal(size=(5, 10)), tf.float32)
    with tf.GradientTape() as tape:
        penalty = moduli(kernel)
    (variable,) = moduli.trainable_weights
    exact = tape.gradient(penalty, variable.value).numpy()
    places = moduli.places(5)[0]

    def at(places):
        distances = Torus().distances(places, places)
        return 0.3 * np.mean(np.tile(moduli._inhibit(distances), (1, 2)) * np.abs(kernel))

    for index in np.ndindex(places.shape):
        step = np.zeros_like(places)
        step[index] = 1e-5
        assert exact[index] == pytest.approx(
            (at(places + step) - at(places - step)) / 2e-5, rel=2e-3, abs=1e-4
        )


@pytest.mark.parametrize("options", [{}, {"run_eagerly": False, "jit_compile": True}], ids=repr)
@pytest.mark.quick_cases
def test_fit_moves_neurons_to_where_strong_weights_are_cheap(options):
    moduli = TrainableModuli(Torus(), strength=10.0, seed=0)
    model = small_model(moduli, keras.layers.SimpleRNN, **options)
    start = moduli.matrix(11)
    model.fit(*data(), batch_size=16, epochs=15, verbose=0)
    sizes = np.abs(model.layers[0].cell.recurrent_kernel.numpy())
    assert any(variable is moduli.source_places for variable in model.trainable_weights)
    assert any(
        variable is moduli.source_places for variable in model.optimizer._trainable_variables
    )
    assert (moduli.matrix(11) * sizes).mean() < 0.8 * (start * sizes).mean()


def test_trained_places_are_saved_and_training_goes_on(tmp_path):
    model = small_model(TrainableModuli(Euclidean(2), "diffusion", 1.0, separate=True, gates=3))
    model.fit(*data(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.layers[0].recurrent_regularizer
    for own, other in zip(model.layers[0].recurrent_regularizer.places(11), again.places(11)):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(loaded.losses, model.losses)
    for one in (model, loaded):
        one.fit(*data(), verbose=0, shuffle=False)
    np.testing.assert_allclose(
        again.source_places, model.layers[0].recurrent_regularizer.source_places, rtol=1e-5
    )


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_twins_of_a_layer_train_places_of_their_own(storage):
    moduli = TrainableModuli(Torus(), seed=0)
    model = small_model(moduli)
    model.fit(*data(), verbose=0)
    kernel = model.layers[0].cell.recurrent_kernel
    kernel.assign(kernel * (np.arange(33) % 8 < 4))
    sparse = ksr.substitute(model, (4, 4), storage)
    copy = sparse.layers[0].recurrent_regularizer
    np.testing.assert_array_equal(copy.source_places, moduli.source_places)
    before = moduli.source_places.numpy()
    sparse.fit(*data(), verbose=0)
    np.testing.assert_array_equal(moduli.source_places, before)
    assert not np.array_equal(copy.source_places, before)
    dense = ksr.to_dense(sparse)
    np.testing.assert_array_equal(
        dense.layers[0].recurrent_regularizer.source_places, copy.source_places
    )


def test_an_instance_serves_one_kernel():
    moduli = TrainableModuli(Torus())
    moduli(np.zeros((5, 5), "float32"))
    with pytest.raises(ValueError) as error:
        moduli(np.zeros((6, 12), "float32"))
    assert str(error.value) == (
        "TrainableModuli serves one kernel, here of (inputs, units) = (5, 5); another needs an "
        "instance of its own. Received: (6, 6)"
    )
    assert moduli.block_mask(0.5, (2, 2)).shape == (1, 3, 3)


def test_its_strength_can_be_scheduled():
    moduli = TrainableModuli(Torus(), strength=0.5, seed=0)
    model = small_model(moduli)
    model.fit(*data(), verbose=0, callbacks=[ksr.callbacks.StrengthSchedule(until=1)])
    before = moduli.source_places.numpy()
    model.optimizer.learning_rate.assign(0.0)
    strengths = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: strengths.append(float(moduli.strength.value))
    )
    model.fit(*data(), verbose=0, callbacks=[ksr.callbacks.StrengthSchedule(until=1), watch])
    assert strengths == [0.0] and float(moduli.strength.value) == 0.5
    np.testing.assert_array_equal(moduli.source_places, before)


def test_its_strength_is_no_weight_and_is_saved_as_it_was_given(tmp_path):
    moduli = TrainableModuli(Torus(), strength=0.5, seed=0)
    model = small_model(moduli)
    save = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: model.save(tmp_path / "model.keras")
    )
    model.fit(*data(), verbose=0, callbacks=[ksr.callbacks.StrengthSchedule(until=0), save])
    assert not [v.path for v in model.weights if "strength" in v.path]
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0].cell.recurrent_regularizer
    assert float(loaded.strength.value) == loaded.get_config()["strength"] == 0.5
