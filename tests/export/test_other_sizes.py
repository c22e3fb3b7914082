"""`batch_size` and `steps` go before the sizes that a model was built with, wherever it computes
with others: a model without an `Input` knows only those of its first batch.
"""

import keras
import numpy as np
import pytest
from pruned_models import randomised

from keras_sparse_rnn import export, layers

LSTM, Dense, Flatten = keras.layers.LSTM, keras.layers.Dense, keras.layers.Flatten
COPY = "and, where its weights have the same shapes then, copy them: "
COPY += "new.set_weights(model.get_weights())"


def batch(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def fitted(*stack, x=None):
    """A Sequential without an `Input`, trained on batches of (4, 5, 3)."""
    keras.utils.set_random_seed(0)
    return trained(keras.Sequential(stack, name="small"), batch(8, 5, 3) if x is None else x)


def trained(model, x):
    model.compile("adam", "mse", run_eagerly=True)  # tracing takes longer than training
    model.fit(x, np.zeros((8, 2), "float32"), batch_size=4, verbose=0)
    return model


class Subclass(keras.Model):
    def __init__(self, *stack):
        super().__init__(name="mine")
        self.stack = list(stack)

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


def check(model, path, x, **sizes):
    """Exports with `sizes` and compares with Keras on `x`."""
    export.export_litert(model, path, **sizes)
    interpreter = export.Interpreter(path)
    (details,) = interpreter.get_input_details()
    (received,) = interpreter(**{name_of(details): x.astype(details["dtype"])}).values()
    np.testing.assert_allclose(received, np.asarray(model(x)), atol=1e-5)
    return details


def name_of(details):
    return details["name"].removeprefix("serving_default_").split(":")[0]


STACKS = {
    "lstm": lambda: [LSTM(8), Dense(2)],
    "bidirectional": lambda: [keras.layers.Bidirectional(keras.layers.GRU(4)), Dense(2)],
    "convolution": lambda: [keras.layers.Conv1D(4, 3), keras.layers.SimpleRNN(8), Dense(2)],
    "block-sparse": lambda: [layers.BlockSparseLSTM(8, (4, 3), sparsity=0.5), Dense(2)],
    "keras's own loop": lambda: [keras.layers.RNN(keras.layers.LSTMCell(8)), Dense(2)],
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.quick_cases
def test_sizes_of_a_first_batch_are_overridden(stack, tmp_path):
    model = fitted(*STACKS[stack]())
    assert model.inputs[0].shape == (4, 5, 3)
    details = check(model, tmp_path / "model.tflite", batch(1, 9, 3), batch_size=1, steps=9)
    assert tuple(details["shape"]) == (1, 9, 3)


def test_they_may_become_dynamic(tmp_path):
    model = fitted(LSTM(8), Dense(2))
    options = {"batch_size": "dynamic", "steps": "dynamic"}
    details = check(model, tmp_path / "model.tflite", batch(3, 7, 3), **options)
    assert tuple(details["shape_signature"]) == (-1, -1, 3)


def test_without_a_word_they_stay(tmp_path):
    model = fitted(LSTM(8), Dense(2))
    assert tuple(check(model, tmp_path / "one.tflite", batch(4, 5, 3))["shape"]) == (4, 5, 3)
    details = check(model, tmp_path / "two.tflite", batch(1, 5, 3), batch_size=1, steps=5)
    assert tuple(details["shape"]) == (1, 5, 3)


def test_they_are_overridden_in_a_model_that_was_saved_and_loaded(tmp_path):
    fitted(LSTM(8), Dense(2)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    check(model, tmp_path / "model.tflite", batch(1, 9, 3), batch_size=1, steps=9)


def test_sizes_of_an_input_are_overridden_where_the_model_computes_with_others(tmp_path):
    model = randomised(keras.Sequential([keras.Input((5, 3), batch_size=2), LSTM(8)]))
    check(model, tmp_path / "model.tflite", batch(3, 9, 3), batch_size=3, steps=9)


def test_token_numbers_of_a_first_batch_are_whole(tmp_path):
    """Keras calls the input of such a model float32."""
    tokens = np.random.default_rng(0).integers(0, 11, (8, 5))
    model = fitted(keras.layers.Embedding(11, 3), LSTM(8), Dense(2), x=tokens)
    assert model.inputs[0].dtype == "float32"
    details = check(model, tmp_path / "model.tflite", tokens[:1], batch_size=1)
    assert details["dtype"] == np.int32
    model = trained(Subclass(keras.layers.Embedding(11, 3), LSTM(8), Dense(2)), tokens)
    assert check(model, tmp_path / "model.tflite", tokens[:1])["dtype"] == np.int32


def test_a_subclassed_model_is_exported_as_it_was_first_called(tmp_path):
    model = trained(Subclass(LSTM(8), Dense(2)), batch(8, 5, 3))
    details = check(model, tmp_path / "model.tflite", batch(1, 5, 3))
    assert tuple(details["shape"]) == (1, 5, 3)
    details = check(model, tmp_path / "model.tflite", batch(2, 9, 3), batch_size=2, steps=9)
    assert tuple(details["shape"]) == (2, 9, 3)


def message(model, path, **options):
    with pytest.raises(ValueError) as error:
        export.export_litert(model, path, **options)
    assert not path.exists()
    return str(error.value)


def test_a_stateful_model_keeps_its_batch_and_the_way_out_works(tmp_path):
    model, path = fitted(LSTM(8, stateful=True), Dense(2)), tmp_path / "model.tflite"
    start = (
        ", built for (4, 5, 3), does not run on (1, 9, 3): If an RNN is stateful, the batch size "
        "of the input sequences must be the same as the batch size of the initial state. Build "
        f"the same model on keras.Input(batch_shape=(1, 9, 3)) {COPY}"
    )
    assert message(model, path, batch_size=1, steps=9) == (
        "`batch_size` and `steps` must be sizes that the model runs on. Received: batch_size=1, "
        f"steps=9, and model 'small'{start}"
    )
    assert message(model, path, batch_size="dynamic", steps=9) == (
        "`batch_size` and `steps` must be sizes that the model runs on. Received: "
        f"batch_size='dynamic', steps=9, and model 'small'{start}"
    )
    assert export.export_litert(model, path, steps=9).largest_error < 1e-5
    new = keras.Sequential(
        [keras.Input(batch_shape=(1, 9, 3)), LSTM(8, stateful=True), Dense(2)], name="new"
    )
    new.set_weights(model.get_weights())
    check(new, path, batch(1, 9, 3))


def test_weights_that_depend_on_the_steps(tmp_path):
    model, path = fitted(LSTM(8, return_sequences=True), Flatten(), Dense(2)), tmp_path / "m.tflite"
    text = message(model, path, steps=9)
    assert text.startswith(
        "`steps` must be a size that the model runs on. Received: steps=9, and model 'small', "
        "built for (4, 5, 3), does not run on (4, 9, 3): Input 0"
    )
    assert text.endswith(
        "expected axis -1 of input shape to have value 40, but received input with shape (4, 72). "
        f"Build the same model on keras.Input(batch_shape=(4, 9, 3)) {COPY}"
    )
    check(model, path, batch(1, 5, 3), batch_size=1)
    model = trained(Subclass(LSTM(8, return_sequences=True), Flatten(), Dense(2)), batch(8, 5, 3))
    text = message(model, tmp_path / "subclass.tflite", steps=9)
    assert text.endswith(f"(1, 72). Build the same model on inputs of shape (1, 9, 3) {COPY}")


@pytest.mark.parametrize("steps", [9, "dynamic"])
def test_a_functional_model_is_exported_for_other_steps_than_it_takes_in_keras(steps, tmp_path):
    features, path = keras.Input((5, 3), name="features"), tmp_path / "model.tflite"
    model = randomised(keras.Model(features, LSTM(8)(features), name="graph"))
    assert export.export_litert(model, path, steps=steps).largest_error < 1e-5
    x = batch(1, 9, 3)
    with pytest.raises(ValueError, match="is incompatible with the layer: expected shape="):
        model(x)
    open_ = keras.Input((None, 3))
    expected = keras.Model(open_, model.layers[1](open_))(x)
    (received,) = export.Interpreter(path)(features=x).values()
    np.testing.assert_allclose(received, np.asarray(expected), atol=1e-5)


def test_steps_are_those_of_the_tokens_where_states_come_in_too(tmp_path):
    tokens, states = keras.Input((5,), dtype="int32"), [keras.Input((4,)), keras.Input((4,))]
    y, *after = LSTM(4, return_sequences=True, return_state=True)(
        keras.layers.Embedding(7, 3)(tokens), initial_state=states
    )
    decoder = randomised(keras.Model([tokens, *states], [Dense(7)(y), *after], name="decoder"))
    summary = export.export_litert(decoder, tmp_path / "model.tflite", batch_size=1, steps=1)
    assert summary.largest_error < 1e-5
    details = export.Interpreter(tmp_path / "model.tflite").get_input_details()
    assert sorted(tuple(each["shape"]) for each in details) == [(1, 1), (1, 4), (1, 4)]
    assert summary.timed.startswith("one inference of 1 steps")


def test_a_number_for_each_sample_has_no_steps(tmp_path):
    audio, speaker = keras.Input((20,)), keras.Input((1,), dtype="int32")
    x = keras.layers.Add()(
        [keras.layers.Reshape((-1, 1))(audio), keras.layers.Embedding(3, 1)(speaker)]
    )
    model = randomised(keras.Model([audio, speaker], LSTM(4)(x), name="speakers"))
    for steps in (None, 10):
        summary = export.export_litert(model, tmp_path / "model.tflite", steps=steps)
        assert summary.timed.startswith(f"one inference of {steps or 20} steps")


def test_steps_of_inputs_that_have_none(tmp_path):
    number = keras.Input((), name="number")
    x = keras.layers.RepeatVector(3)(keras.layers.Reshape((1,))(number))
    model = keras.Model(number, LSTM(2)(x), name="numbers")
    assert message(model, tmp_path / "model.tflite", steps=5) == (
        "`steps` must be None for a model whose inputs have no axis of steps. Received: steps=5, "
        "and model 'numbers'"
    )


def test_a_sample_is_tried_like_random_inputs(tmp_path):
    model, path = fitted(LSTM(8, stateful=True), Dense(2)), tmp_path / "model.tflite"
    text = message(model, path, batch_size=1, sample=batch(1, 5, 3))
    assert text.startswith("`batch_size` must be a size that the model runs on. Received: ")
    model = fitted(LSTM(8), Dense(2))
    assert (
        export.export_litert(
            model, path, batch_size=1, steps=9, sample=batch(1, 9, 3)
        ).largest_error
        < 1e-5
    )
