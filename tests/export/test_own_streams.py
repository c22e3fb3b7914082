"""Streams of our operator: chunk by chunk they give what Keras gives on the whole sequence."""

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer, library

pytestmark = pytest.mark.skipif(not library.LIBRARY.exists(), reason="the library was not built")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def streaming(parts, tmp_path, shape=(None, 8), **options):
    """The model, and what its export says."""
    model = randomised(keras.Sequential([keras.Input(shape, name="x"), *parts], name="small"))
    for part in parts:
        if isinstance(part, keras.layers.RNN):
            prune(part, (4, 4), 0.5)
    path = tmp_path / "model.tflite"
    return model, export.export_litert(model, path, "ksr", streaming=True, **options)


def difference(model, path, x):
    """The largest difference of a stream from Keras on the whole sequence `x`."""
    stream = export.Stream(path, num_threads=1)
    expected = np.asarray(model(x))
    for _ in range(2):
        chunks = [stream(x[:, at : at + stream.steps]) for at in range(0, len(x[0]), stream.steps)]
        found = np.abs(np.concatenate(chunks, 1) - expected).max()
        stream.reset()
    return found


def noise(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    "weights, activations, tolerance",
    [("float32", "float32", 1e-5), ("bfloat16", "float32", 0.02), ("int8", "int8", 0.02)],
)
@pytest.mark.quick_cases
def test_a_stream_of_stacked_layers(steps, weights, activations, tolerance, tmp_path):
    parts = [
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.GRU(12, return_sequences=True),
        keras.layers.SimpleRNN(12, activation="relu", return_sequences=True),
    ]
    options = {"weights": weights, "activations": activations, "steps": steps}
    model, summary = streaming(parts, tmp_path, **options)
    assert summary.operators == ("CUSTOM:KsrCell",)
    assert difference(model, summary.path, noise(1, 12, 8)) < tolerance
    file = flatbuffer.unpack((tmp_path / "model.tflite").read_bytes())
    assert not [tensor for tensor in file.subgraphs[0].tensors if tensor.isVariable]


def test_a_masked_begin_of_a_chunk_repeats_the_output_before_it(tmp_path):
    parts = [keras.layers.Masking(0.0), keras.layers.GRU(12, return_sequences=True)]
    model, summary = streaming(parts, tmp_path, steps=2)
    x = noise(1, 12, 8)
    x[0, [0, 4, 5, 7, 8]] = 0
    assert "CUSTOM:KsrCell" in summary.operators
    assert difference(model, summary.path, x) < 1e-5


def test_a_convolution_in_front_and_layers_of_others_behind(tmp_path):
    parts = [
        keras.layers.Conv1D(8, 3, padding="causal"),
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.LSTM(8, activation="elu", return_sequences=True),
        keras.layers.Dense(3),
    ]
    model, summary = streaming(parts, tmp_path)
    assert {"CUSTOM:KsrCell", "CONV_2D", "FULLY_CONNECTED"} <= set(summary.operators)
    assert difference(model, summary.path, noise(1, 9, 8)) < 1e-5


def test_the_file_says_how_sparse_our_matrices_are(tmp_path):
    _, summary = streaming([keras.layers.GRU(16, return_sequences=True)], tmp_path)
    assert export.Stream(summary.path).metadata == {"name": "small", "sparsity": 0.5}


def test_a_missing_library_is_said_in_words(tmp_path, monkeypatch):
    _, summary = streaming([keras.layers.GRU(4)], tmp_path)
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "a" / "b" / "_ksr_delegate.so")
    with pytest.raises(ValueError, match="^The library of the operators of runtime='ksr' is miss"):
        export.Stream(summary.path)
