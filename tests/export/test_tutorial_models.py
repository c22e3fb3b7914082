"""Models as tutorials write them: sizes that are fixed, layers repeated over the steps."""

import keras
import numpy as np
import pytest
from pruned_models import randomised

from keras_sparse_rnn import export

K = keras.layers


def functional(*layers, shape=(24, 5)):
    keras.utils.set_random_seed(0)
    x = outputs = keras.Input(shape, name="x")
    for layer in layers:
        outputs = layer(outputs)
    return randomised(keras.Model(x, outputs, name="forecast"))


def batch(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def last(output):
    return output["dense"] if isinstance(output, dict) else output


@pytest.mark.parametrize("runtime", ["builtin", "ksr"])
@pytest.mark.quick_cases
def test_a_functional_model_of_fixed_steps_runs_on_a_stream(runtime, tmp_path):
    model = functional(K.LSTM(8, return_sequences=True), K.GRU(6), K.Dense(2))
    export.export_litert(model, tmp_path / "m.tflite", runtime, streaming=True, steps=8)
    stream, x = export.Stream(tmp_path / "m.tflite"), batch(1, 24, 5)
    for begin in (0, 8, 16):
        outputs = stream(x[:, begin : begin + 8])
    np.testing.assert_allclose(outputs, np.asarray(model(x)), atol=1e-5)
    with pytest.raises(ValueError, match="incompatible"):  # the model itself is as it was
        model(x[:, :8])


def message(model, path, **options):
    with pytest.raises(ValueError) as error:
        export.export_litert(model, path / "m.tflite", **options)
    assert not list(path.iterdir())
    return str(error.value)


START = (
    "`model` must compute each step from this step and the ones before it, to be streamed. "
    "Received: model='forecast', whose layer "
)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (lambda: [K.LSTM(4, return_sequences=True), K.Flatten(name="flat"),
                 K.Dense(2, name="out")],
         "'flat' (Flatten) does not run on a chunk, (1, 1, 5): Input 0 with name 'None' of layer "
         "'out' is incompatible with the layer: expected axis -1 of input shape to have value 96, "
         "but received input with shape (1, 4)"),
        (lambda: [K.Conv1D(4, 9, name="conv"), K.LSTM(4)],
         "'conv' (Conv1D) does not run on a chunk, (1, 1, 5): Computed output size would be "
         'negative: -7 [input_size: 1, effective_filter_size: 9, stride: 1]: give it '
         'padding="causal", and train it so'),
    ],
)  # fmt: skip
def test_what_hinders_a_stream_is_named_in_a_model_of_fixed_steps(layers, says, tmp_path):
    assert message(functional(*layers()), tmp_path, streaming=True) == START + says


def test_a_model_that_runs_on_no_other_length_is_refused_in_words(tmp_path):
    layers = K.LSTM(4, return_sequences=True), K.Flatten(), K.Dense(2)
    text = message(functional(*layers, shape=(7, 5)), tmp_path, streaming=True, steps=2)
    assert text.startswith(
        "`model` must run on sequences of several chunks, to be streamed. Received: "
        "model='forecast', which does not run on inputs of shape (1, 8, 5): Input 0"
    )


@pytest.mark.parametrize("runtime", ["builtin", "ksr"])
@pytest.mark.quick_cases
def test_layers_are_repeated_over_steps_whose_number_is_open(runtime, tmp_path):
    inner = keras.Sequential([K.Dense(6, activation="tanh"), K.Dense(3)])
    model = functional(
        K.TimeDistributed(K.Dense(7, activation="relu")),
        K.LSTM(8, return_sequences=True),
        K.TimeDistributed(inner, name="dense"),
        shape=(None, 5),
    )
    summary = export.export_litert(model, tmp_path / "m.tflite", runtime, batch_size="dynamic")
    interpreter = export.Interpreter(tmp_path / "m.tflite")
    for shape in ((1, 9, 5), (3, 4, 5)):
        x = batch(*shape)
        np.testing.assert_allclose(interpreter(x=x)["dense"], np.asarray(model(x)), atol=1e-5)
    assert summary.largest_error < 1e-5


def test_a_layer_that_is_repeated_over_fixed_steps_is_in_the_file_once(tmp_path):
    pictures = keras.Input((6, 4, 4, 1), name="pictures")
    x = K.TimeDistributed(K.Conv2D(3, 3))(pictures)
    x = K.TimeDistributed(K.Flatten())(x)
    outputs = K.TimeDistributed(K.LSTM(2))(K.Reshape((6, 3, 4))(x)), K.GRU(5)(K.Masking()(x))
    model = randomised(keras.Model(pictures, outputs))
    summary = export.export_litert(model, tmp_path / "m.tflite")
    assert summary.largest_error < 1e-5
    details = export.Interpreter(tmp_path / "m.tflite")._get_ops_details()
    assert [each["op_name"] for each in details].count("CONV_2D") == 1
