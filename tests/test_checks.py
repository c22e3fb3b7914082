"""What a model must be is said in one place, in words that name what was given."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.checks import check_keras_model, is_tf_keras

MOVE = (
    ", a tf_keras (Keras 2) model. Build the same model from keras.layers of Keras 3 (`import "
    "keras`, and no TF_USE_LEGACY_KERAS in the environment) and copy its weights: "
    "new.set_weights(old.get_weights())"
)


@pytest.fixture(scope="module")
def legacy():
    tf_keras = pytest.importorskip("tf_keras")
    return tf_keras.Sequential(
        [tf_keras.layers.Input((5, 4)), tf_keras.layers.LSTM(3)], name="legacy"
    )


def test_a_keras_model_passes_and_a_layer_where_layers_are_taken():
    check_keras_model(keras.Sequential())
    check_keras_model(keras.layers.LSTM(3), layers=True)


@pytest.mark.parametrize("value", [None, "model", 3])
def test_what_is_no_model_is_named_with_its_type(value):
    for layers in (False, True):
        with pytest.raises(ValueError) as error:
            check_keras_model(value, layers=layers)
        assert str(error.value) == (
            f"`model` must be a keras.Model. Received: model={value!r} of type "
            f"{type(value).__name__}"
        )


def test_a_layer_is_no_model():
    with pytest.raises(ValueError) as error:
        check_keras_model(keras.layers.LSTM(3, name="alone"))
    assert str(error.value) == (
        "`model` must be a keras.Model. Received: model=<LSTM name=alone, built=False> of type LSTM"
    )


@pytest.mark.parametrize(
    "use",
    [
        check_keras_model,
        lambda model: check_keras_model(model, layers=True),
        lambda model: ksr.export.export_litert(model, "never.tflite"),
        lambda model: ksr.report(model),
        lambda model: ksr.plot.masks(model),
        lambda model: ksr.geometry.analyze(model, np.zeros((1, 5, 4))),
        lambda model: ksr.reorder_units(model),
        lambda model: ksr.substitute(model),
        lambda model: ksr.to_dense(model),
    ],
)
def test_a_model_of_tf_keras_is_called_that_and_the_way_out_is_told(use, legacy):
    with pytest.raises(ValueError) as error:
        use(legacy)
    assert str(error.value) == "`model` must be a keras.Model. Received: model='legacy'" + MOVE


@pytest.mark.parametrize("report", [ksr.report, ksr.geometry.analyze])
def test_what_cannot_print_is_no_console(report):
    model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(3)])

    def data():
        raise AssertionError("the data are looked at")
        yield

    with pytest.raises(ValueError) as error:
        report(model, *[data()] * (report is ksr.geometry.analyze), console=True)
    assert str(error.value) == (
        "`console` must be a rich.console.Console, None to print to standard output, or False to "
        "print nothing. Received: console=True"
    )


def test_the_way_out_gives_the_same_predictions(legacy):
    model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(3)])
    model.set_weights(legacy.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    np.testing.assert_allclose(np.asarray(model(x)), np.asarray(legacy(x)), atol=1e-6)


def test_parts_of_tf_keras_are_known_with_what_is_derived_from_them(legacy):
    class Mine(type(legacy)):
        pass

    assert is_tf_keras(legacy) and is_tf_keras(Mine()) and is_tf_keras(legacy.layers[0])
    assert not is_tf_keras(keras.Sequential()) and not is_tf_keras(None)
