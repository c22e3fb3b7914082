"""What a stream accepts, and what it says about all else."""

import keras
import numpy as np
import pytest
from pruned_models import randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer, info, integrity


@pytest.fixture(scope="module")
def model():
    return randomised(
        keras.Sequential(
            [keras.Input((None, 3), name="features"), keras.layers.GRU(4, return_sequences=True)]
        )
    )


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    export.export_litert(model, path, streaming=True, steps=2)
    return path


def message(call, *arguments, **options):
    with pytest.raises(ValueError) as error:
        call(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize(
    "chunk, expected",
    [
        (
            np.zeros((1, 3, 3), "float32"),
            "`chunk` must have the shape (1, 2, 3) for the input 'features'. Received: an array of "
            "shape (1, 3, 3)",
        ),
        (
            np.zeros(6),
            "`chunk` must have the shape (1, 2, 3) for the input 'features'. Received: an array of "
            "shape (6,)",
        ),
        (
            np.zeros((1, 2, 3), complex),
            "`chunk` must have numbers that float32 can hold for the input 'features'. Received: "
            "an array of complex128",
        ),
        (
            np.full((1, 2, 3), "loud"),
            "`chunk` must have numbers that float32 can hold for the input 'features'. Received: "
            "an array of <U4",
        ),
        (
            {"sound": np.zeros((1, 2, 3))},
            "`chunk` must be a dict with the inputs ['features']. Received: ['sound']",
        ),
    ],
)
def test_a_chunk_of_another_kind_is_refused_and_changes_nothing(chunk, expected, exported, model):
    x = np.random.default_rng(0).normal(size=(1, 4, 3))
    stream = export.Stream(exported)
    stream(x[:, :2])
    assert message(stream, chunk) == expected
    np.testing.assert_allclose(stream(x[:, 2:]), np.asarray(model(x))[:, 2:], atol=1e-5)


def test_a_chunk_of_lists_of_several_lengths(exported):
    text = message(export.Stream(exported), [[[1.0, 2.0, 3.0], [1.0]]])
    assert text.startswith(
        "`chunk` must be an array of shape (1, 2, 3) for the input 'features'. Received: what is "
        "no array: "
    )


def test_lists_and_other_floats_are_numbers(exported):
    ones = export.Stream(exported)(np.ones((1, 2, 3), "float32"))
    for chunk in (np.ones((1, 2, 3)), np.ones((1, 2, 3), "int8"), [[[1, 1, 1], [1.0, 1, 1]]]):
        np.testing.assert_array_equal(export.Stream(exported)(chunk), ones)


def test_integers_are_wanted_where_the_model_embeds_them(tmp_path):
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(5, 4)(tokens)
    path = tmp_path / "model.tflite"
    export.export_litert(keras.Model(tokens, keras.layers.GRU(2)(embedded)), path, streaming=True)
    stream = export.Stream(path)
    assert stream(np.array([[3]])).shape == (1, 2)
    assert message(stream, np.array([[3.0]])) == (
        "`chunk` must have numbers that int32 can hold for the input 'tokens'. Received: an array "
        "of float64"
    )


def test_what_is_not_a_number_stays_in_the_states_until_the_stream_begins_anew(exported):
    x = np.ones((1, 2, 3), "float32")
    stream = export.Stream(exported)
    first = stream(x)
    assert np.isnan(stream(np.full_like(x, np.nan))).all()
    assert np.isnan(stream(x)).all()
    stream.reset()
    np.testing.assert_array_equal(stream(x), first)


def test_outputs_are_ones_own_and_streams_know_nothing_of_each_other(exported):
    x = np.random.default_rng(0).normal(size=(3, 1, 2, 3)).astype("float32")
    one, other = export.Stream(exported), export.Stream(exported)
    first = one(x[0])
    kept = first.copy()
    one(x[1])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(other(x[0]), kept)


def test_arguments(exported):
    assert message(export.Stream, 3) == "`path` must be the path of a file. Received: path=3"
    assert (
        message(export.Stream, exported, num_threads=0)
        == "`num_threads` must be an integer of at least 1. Received: num_threads=0"
    )


def test_a_file_of_whole_sequences(model, tmp_path):
    path = str(tmp_path / "model.tflite")
    export.export_litert(model, path)
    assert message(export.Stream, path) == (
        "`path` must be a file that `export_litert(streaming=True)` wrote. Received: "
        f"path={path!r}, which runs on whole sequences: open it with `ksr.export.Interpreter`, or "
        "export the model again with streaming=True"
    )


def test_a_file_of_another_kind_and_one_that_is_not_there(tmp_path):
    path = tmp_path / "model.tflite"
    start = f"`path` must be a file that `export_litert` wrote. Received: path={str(path)!r}"
    assert message(export.Stream, path) == f"{start}, which is not a file"
    path.write_bytes(b"not a model at all")
    assert message(export.Stream, path) == (
        f"{start} of 18 bytes, which is not a LiteRT file (its bytes 4 to 7 are not 'TFL3')"
    )


def test_a_file_cut_short_or_changed_anywhere(exported, tmp_path):
    whole = exported.read_bytes()
    path = tmp_path / "model.tflite"
    rng = np.random.default_rng(0)
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        assert message(export.Stream, path).startswith("`path` must be a file that ")
    for place in rng.integers(0, len(whole), 40):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        assert message(export.Stream, path).startswith("`path` must be a file that ")


def test_a_file_that_names_states_that_it_has_not(exported, tmp_path):
    model = flatbuffer.unpack(exported.read_bytes())
    said = info.read(exported.read_bytes())
    said["streaming"]["states"] = ["nowhere"]
    model.metadata = []
    info.add(model, said)
    integrity.add_metadata(model, "builtin")
    path = tmp_path / "model.tflite"
    path.write_bytes(integrity.sealed(model))
    assert message(export.Stream, path) == (
        f"`path` must be a file that LiteRT can run. Received: path={str(path)!r}, and LiteRT "
        "says: 'nowhere'"
    )
