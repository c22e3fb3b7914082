"""A substituted model has the losses, metrics, settings and seeds of the original."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from pruning import data, largest_difference, model_and_data, prune, targets

from keras_sparse_rnn.substitution import substitute
from keras_sparse_rnn.substitution.twins import transfers


def test_settings_of_compile_survive():
    def closeness(y_true, y_pred):
        return -tf.reduce_mean(tf.abs(y_true - y_pred))

    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    x = keras.Input((4, 6))
    h = layers.LSTM(9)(x)
    outputs = {"one": layers.Dense(1, name="one")(h), "two": layers.Dense(2, name="two")(h)}
    model = prune(keras.Model(x, outputs))
    model.compile(
        "sgd",
        loss={"one": Loss(), "two": "mae"},
        loss_weights={"one": 0.3, "two": 2.0},
        metrics={"one": [closeness, keras.metrics.MeanSquaredError(name="squared")], "two": "mae"},
        steps_per_execution=2,
    )
    x, y = data(model), targets(model, data(model))
    expected = model.evaluate(x, y, verbose=0, batch_size=3, return_dict=True)
    sparse = substitute(model, (4, 4))
    received = sparse.evaluate(x, y, verbose=0, batch_size=3, return_dict=True)
    assert set(received) == set(expected)
    np.testing.assert_allclose(
        [received[name] for name in expected], list(expected.values()), rtol=1e-5
    )
    assert sparse.steps_per_execution == 2 and not sparse.run_eagerly
    model.compile("sgd", "mae", run_eagerly=True)
    assert substitute(model, (4, 4)).run_eagerly


def test_the_metrics_are_objects_of_their_own():
    model, x, y = model_and_data()
    metric = keras.metrics.MeanSquaredError()
    model.compile("sgd", "mse", metrics=[metric])
    model.evaluate(x, y, verbose=0)
    value = float(metric.result())
    substitute(model, (4, 4)).evaluate(x, 2 * y, verbose=0)
    assert float(metric.result()) == value and model.compiled


def test_xla_is_left_out_where_a_layer_cannot_do_it():
    model = prune(keras.Sequential([keras.Input((4, 6)), layers.SimpleRNN(9)]))
    model.compile("sgd", "mse", jit_compile=True)
    assert substitute(model, (4, 4)).jit_compile is False
    assert substitute(model, (4, 4), kernel="reference").jit_compile is True
    model.compile("sgd", "mse", jit_compile=False)
    assert substitute(model, (4, 4), kernel="reference").jit_compile is False


def test_a_model_that_was_not_compiled_stays_so():
    model, x, _ = model_and_data()
    sparse = substitute(model, (4, 4))
    assert not sparse.compiled
    sparse.compile("adam", "mse")
    assert largest_difference(sparse.predict(x, verbose=0), model.predict(x, verbose=0)) < 3e-6


def test_seeds_of_dropout_carry_over():
    model = prune(
        keras.Sequential(
            [keras.Input((4, 6)), layers.LSTM(9, dropout=0.5, seed=1), layers.Dropout(0.5, seed=2)]
        )
    )
    x = data(model)
    model(x, training=True)
    sparse = substitute(model, (4, 4))
    assert largest_difference(model(x, training=True), sparse(x, training=True)) < 3e-6
    assert len(transfers(model.layers[0], sparse.layers[0])) == 4
