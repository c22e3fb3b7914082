"""Files of streams, in the real interpreter: chunk by chunk they give what Keras gives on the whole
sequence.
"""

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised, snapshot

from keras_sparse_rnn import export, layers
from keras_sparse_rnn.export import flatbuffer

LAYERS = {
    "lstm": lambda: keras.layers.LSTM(12, return_sequences=True),
    "gru": lambda: keras.layers.GRU(8, return_sequences=True),
    "gru reset before": lambda: keras.layers.GRU(8, reset_after=False, return_sequences=True),
    "simple relu": lambda: keras.layers.SimpleRNN(9, activation="relu", return_sequences=True),
    "cells in a row": lambda: keras.layers.RNN(
        [keras.layers.LSTMCell(4), keras.layers.GRUCell(5)], return_sequences=True
    ),
    "block-sparse lstm": lambda: layers.BlockSparseLSTM(
        16, (4, 4), sparsity=0.8, return_sequences=True
    ),
    "block-sparse gru": lambda: layers.BlockSparseGRU(
        16, (4, 4), sparsity=0.8, return_sequences=True
    ),
    "stateful": lambda: keras.layers.GRU(6, stateful=True, return_sequences=True),
}


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def sequential(*parts, shape=(None, 8), batch_size=None):
    return randomised(
        keras.Sequential([keras.Input(shape, batch_size=batch_size, name="x"), *parts])
    )


def streamed(stream, x):
    """The outputs of all chunks of `x`, a list."""
    return [
        stream(x[:, start : start + stream.steps]) for start in range(0, x.shape[1], stream.steps)
    ]


def check(model, path, x, last=False):
    """Compares with Keras what all chunks of `x` give, or what the last one does."""
    received = streamed(export.Stream(path), x)
    received = received[-1] if last else np.concatenate(received, 1)
    np.testing.assert_allclose(received, np.asarray(model(x)), atol=1e-5)


def noise(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.quick_cases(4)
def test_every_cell_goes_on_where_the_chunk_before_ended(kind, steps, tmp_path):
    model = sequential(LAYERS[kind](), keras.layers.Dense(2), batch_size=2)
    before = snapshot(model)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, streaming=True, steps=steps)
    assert summary.largest_error < 1e-5
    assert summary.timed == f"a chunk of {steps} step{'s' * (steps > 1)}, batch 2, 1 thread"
    for old, new in zip(before, snapshot(model)):
        np.testing.assert_array_equal(old, new)
    x = noise(2, 12, 8)
    expected = np.asarray(model(x))
    stream = export.Stream(path, num_threads=1)
    assert stream.steps == steps
    for _ in range(2):
        np.testing.assert_allclose(np.concatenate(streamed(stream, x), 1), expected, atol=1e-5)
        stream.reset()


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru reset before", "simple relu", "stateful"])
@pytest.mark.quick_cases(2)
def test_one_step_is_one_graph_of_built_in_operators_without_variables(kind, tmp_path):
    model = sequential(LAYERS[kind](), LAYERS[kind](), keras.layers.Dense(2), batch_size=1)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, streaming=True)
    file = flatbuffer.unpack(path.read_bytes())
    assert len(file.subgraphs) == 1
    wrong = ("WHILE", "CUSTOM", "FLEX", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
    assert not [name for name in summary.operators if name.startswith(wrong)]
    assert not [one for one in file.subgraphs[0].tensors if one.isVariable]


def test_pruned_weights_are_stored_without_their_zeros(tmp_path):
    layer = keras.layers.LSTM(32, return_sequences=True)
    model = sequential(layer, keras.layers.Dense(2), shape=(None, 16))
    prune(layer, (4, 4), 0.9)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, streaming=True)
    assert summary.computed_sparse == summary.sparse_tensors == 2
    assert summary.bytes < summary.dense_bytes / 2
    check(model, path, noise(1, 6, 16))


def test_a_last_layer_without_sequences_gives_what_keras_gives_on_all_steps_so_far(tmp_path):
    model = sequential(LAYERS["lstm"](), keras.layers.GRU(5), keras.layers.Dense(2))
    path = tmp_path / "model.tflite"
    export.export_litert(model, path, streaming=True, steps=2)
    x = noise(1, 10, 8)
    for number, received in enumerate(streamed(export.Stream(path), x), start=1):
        np.testing.assert_allclose(received, np.asarray(model(x[:, : 2 * number])), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.quick_cases
def test_a_causal_convolution_remembers_its_last_steps(steps, tmp_path):
    causal = {"padding": "causal", "activation": "relu"}
    model = sequential(
        keras.layers.Conv1D(6, 3, dilation_rate=2, **causal),
        keras.layers.Conv1D(5, 4, **causal),
        keras.layers.BatchNormalization(),
        keras.layers.GRU(4, return_sequences=True),
    )
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, streaming=True, steps=steps).largest_error < 1e-5
    assert model.layers[0].padding == "causal" and "call" not in vars(model.layers[0])
    check(model, path, noise(1, 28, 8))


def test_layers_that_halve_the_steps_run_on_chunks_that_they_divide(tmp_path):
    model = sequential(
        keras.layers.Conv1D(6, 5, strides=2, padding="causal"),
        keras.layers.MaxPooling1D(2),
        keras.layers.GRU(4, return_sequences=True),
    )
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, streaming=True, steps=4).largest_error < 1e-5
    check(model, path, noise(1, 16, 8))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["lstm", "cells in a row"])
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.quick_cases(2)
def test_masked_steps_leave_the_states_alone_and_repeat_the_output_before(
    kind, steps, sequences, tmp_path
):
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(7, 8, mask_zero=True)(tokens)
    layer = LAYERS[kind]()
    layer.return_sequences = sequences
    model = randomised(keras.Model(tokens, layer(x)))
    path = tmp_path / "model.tflite"
    export.export_litert(model, path, streaming=True, steps=steps)
    tokens = np.array([[0, 0, 3, 1, 0, 0, 0, 4, 5, 0, 0, 0]], "int32")
    check(model, path, tokens, last=not sequences)


def test_several_inputs_and_outputs_have_their_names(tmp_path):
    features, speaker = keras.Input((None, 3), name="features"), keras.Input((4,), name="speaker")
    every = keras.layers.GRU(5, return_sequences=True, name="every")(features)
    last = keras.layers.Concatenate()([keras.layers.LSTM(6)(every), speaker])
    score = keras.layers.Dense(2, name="score")(last)
    model = randomised(keras.Model([features, speaker], [every, score, every[:, -1]]))
    path = tmp_path / "model.tflite"
    export.export_litert(model, path, streaming=True)
    stream = export.Stream(path)
    x, who = noise(1, 6, 3), noise(1, 4)
    for number in range(1, 7):
        received = stream({"features": x[:, number - 1 : number], "speaker": who})
        every, score, other = (np.asarray(one) for one in model([x[:, :number], who]))
        assert list(received)[:2] == ["every", "score"] and len(received) == 3
        np.testing.assert_allclose(received["every"], every[:, -1:], atol=1e-5)
        np.testing.assert_allclose(received["score"], score, atol=1e-5)
        np.testing.assert_allclose(list(received.values())[2], other, atol=1e-5)


@pytest.mark.parametrize("streaming", [True, False])
def test_the_outputs_of_a_dict_have_its_keys(streaming, tmp_path):
    x = keras.Input((None, 4), name="x")
    h = keras.layers.LSTM(3, return_sequences=True)(x)
    parts = [keras.layers.Dense(3, name=name)(h) for name in ("down", "up", "third")]
    outputs = {"up": parts[0], "down": parts[1], "rest": {"of it": [h, parts[2]]}}
    model = randomised(keras.Model(x, outputs))
    path = tmp_path / "model.tflite"
    export.export_litert(model, path, streaming=streaming)
    sequence = noise(1, 1, 4)
    run = (export.Stream if streaming else export.Interpreter)(path)
    received = run(sequence) if streaming else run(x=sequence)
    expected = model(sequence)
    rest, third = expected["rest"]["of it"]
    expected = {"down": expected["down"], "up": expected["up"], "of_it": rest, "of_it_1": third}
    assert received.keys() == expected.keys()
    for name, output in expected.items():
        np.testing.assert_allclose(received[name], np.asarray(output), atol=1e-5)


def test_layers_behind_the_last_output_run_anew_in_each_chunk(tmp_path):
    model = sequential(
        keras.layers.LSTM(4), keras.layers.RepeatVector(3), LAYERS["gru"](), shape=(None, 2)
    )
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, streaming=True).largest_error < 1e-5
    check(model, path, noise(1, 5, 2), last=True)


def test_a_model_of_a_fixed_length_and_a_nested_one(tmp_path):
    inner = sequential(LAYERS["gru"](), keras.layers.LayerNormalization(), shape=(30, 4))
    model = sequential(keras.layers.Dense(4), inner, keras.layers.SimpleRNN(3), shape=(30, 8))
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, streaming=True).largest_error < 1e-5
    check(model, path, noise(1, 30, 8), last=True)


def test_a_subclassed_model_with_a_layer_that_is_called_twice(tmp_path):
    class Twice(keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.layer = keras.layers.GRU(4, return_sequences=True)
            self.head = keras.layers.Dense(2)

        def call(self, inputs):
            return self.head(self.layer(self.layer(inputs)))

    model = Twice()
    x = noise(1, 8, 4)
    model(x)
    randomised(model)
    path = tmp_path / "model.tflite"
    signature = keras.KerasTensor((None, None, 4), name="x")
    export.export_litert(model, path, streaming=True, input_signature=signature)
    check(model, path, x)


def test_a_network_of_ten_kilobytes_is_a_file_of_less_than_thirty(tmp_path):
    """An amplifier for guitars, LSTM and Dense(1) on single samples. The same as a stateful dense
    LSTM, by another program, is 5.5 MB.
    """
    model = sequential(
        keras.layers.LSTM(24, return_sequences=True), keras.layers.Dense(1), shape=(None, 1)
    )
    assert 10_000 < 4 * model.count_params() < 11_000
    for steps in (1, 16):
        path = tmp_path / "model.tflite"
        export.export_litert(model, path, streaming=True, steps=steps)
        assert path.stat().st_size < 30_000


def test_a_sample_of_ones_own_is_what_the_file_is_compared_on(tmp_path):
    model = sequential(LAYERS["gru"]())
    path = tmp_path / "model.tflite"
    sample = 100 * noise(1, 6, 8)
    summary = export.export_litert(model, path, streaming=True, steps=3, sample=sample)
    assert summary.largest_error < 1e-5


def test_nothing_is_printed(capfd, tmp_path):
    model = sequential(keras.layers.LSTM(4, return_sequences=True), keras.layers.Softmax())
    export.export_litert(model, tmp_path / "model.tflite", streaming=True)
    export.Stream(tmp_path / "model.tflite")(noise(1, 1, 8))
    assert capfd.readouterr() == ("", "")
