"""What cannot be streamed is refused by the name of its layer, before anything is written."""

import os

import keras
import numpy as np
import pytest
from pruned_models import randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import chunks, look_back

START = (
    "`model` must compute each step from this step and the ones before it, to be streamed. "
    "Received: model='model', whose layer "
)
READS = (
    "gives other outputs on chunks than on the whole sequence, for it reads steps that a chunk "
    "does not hold: "
)
ELSEWHERE = "leave it out of the model that is exported, and do it with what the stream gives"


def message(model, tmp_path, **options):
    with pytest.raises(ValueError) as error:
        export.export_litert(model, tmp_path / "model.tflite", streaming=True, **options)
    assert not os.listdir(tmp_path)
    for layer in model.layers:
        assert not {"call", "inner_loop"} & vars(layer).keys()
    return str(error.value)


def sequential(*parts, shape=(None, 4)):
    return randomised(keras.Sequential([keras.Input(shape), *parts], name="model"))


def gru(name="gru", **options):
    return keras.layers.GRU(4, return_sequences=True, name=name, **options)


def attention():
    x = keras.Input((None, 4))
    y = gru()(x)
    return randomised(keras.Model(x, keras.layers.Attention(name="look")([y, y]), name="model"))


def reversed_and_back():
    """Reads only what comes after a step."""
    x = keras.Input((None, 4))
    y = keras.layers.Lambda(lambda y: keras.ops.roll(y, -1, axis=1), name="next")(gru()(x))
    return randomised(keras.Model(x, y, name="model"))


def initial_state():
    x, state = keras.Input((None, 4)), keras.Input((4,))
    return randomised(keras.Model([x, state], gru()(x, initial_state=state), name="model"))


CASES = {
    "both ways": (
        lambda: sequential(keras.layers.Bidirectional(gru(), name="both")),
        "'both' (Bidirectional) reads each sequence from its end, too: train a layer of one "
        "direction in its place",
    ),
    "backwards": (
        lambda: sequential(gru(go_backwards=True)),
        "'gru' (GRU) reads each sequence from its end: train it with go_backwards=False",
    ),
    "pooling": (
        lambda: sequential(gru(), keras.layers.GlobalAveragePooling1D(name="pool")),
        f"'pool' (GlobalAveragePooling1D) {READS}{ELSEWHERE}",
    ),
    "attention": (attention, f"'look' (Attention) {READS}{ELSEWHERE}"),
    "the step behind": (reversed_and_back, f"'next' (Lambda) {READS}{ELSEWHERE}"),
    "convolution": (
        lambda: sequential(keras.layers.Conv1D(4, 3, padding="same", name="conv"), gru()),
        f"'conv' (Conv1D) {READS}give it padding=\"causal\", and train it so",
    ),
    "initial state": (
        initial_state,
        "'gru' (GRU) is given its initial state by another layer, and so at each chunk anew: let "
        "it begin with zeros, as a stream does",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_that_look_ahead_are_named(case, tmp_path):
    build, expected = CASES[case]
    assert message(build(), tmp_path) == START + expected


@pytest.mark.parametrize("steps", [8, 700])
def test_a_layer_that_reads_far_back_is_named(steps, tmp_path):
    def echo(x):
        return x + keras.ops.pad(x, [[0, 0], [steps, 0], [0, 0]])[:, :-steps]

    model = sequential(gru(), keras.layers.Lambda(echo, name="echo"), gru(name="last"))
    assert message(model, tmp_path) == f"{START}'echo' (Lambda) {READS}{ELSEWHERE}"


@pytest.mark.parametrize("length, steps", [(100, 8), (3000, 2000)])
def test_a_layer_that_reads_far_back_in_sequences_of_one_length_is_named(length, steps, tmp_path):
    def echo(x):
        return x + keras.ops.roll(x, steps, axis=1)

    model = sequential(keras.layers.Lambda(echo, name="echo"), gru(), shape=(length, 4))
    assert message(model, tmp_path) == f"{START}'echo' (Lambda) {READS}{ELSEWHERE}"


def test_a_layer_that_reads_far_back_in_a_model_of_short_sequences_is_named(tmp_path):
    def echo(x):
        if (x.shape[1] or 0) > 300:
            raise ValueError("at most 300 steps")
        return x + keras.ops.pad(x, [[0, 0], [100, 0], [0, 0]])[:, :-100]

    model = sequential(keras.layers.Lambda(echo, name="echo"), gru())
    assert message(model, tmp_path) == f"{START}'echo' (Lambda) {READS}{ELSEWHERE}"


def test_a_layer_that_reads_far_back_in_a_model_of_large_frames_is_named(tmp_path, monkeypatch):
    lengths = []

    def echo(x):
        lengths.append(x.shape[1])
        return x + keras.ops.pad(x, [[0, 0], [100, 0], [0, 0]])[:, :-100]

    monkeypatch.setattr(look_back, "MOST_NUMBERS", 300 * 8)
    model = sequential(keras.layers.Lambda(echo, name="echo"), gru())
    assert message(model, tmp_path) == f"{START}'echo' (Lambda) {READS}{ELSEWHERE}"
    assert max(length or 0 for length in lengths) == 256


def test_states_that_rounding_changes_are_not_what_another_layer_reads(tmp_path):
    model = sequential(gru(), keras.layers.Conv1D(3, 2, padding="causal"), gru(name="last"))
    for layer in (model.layers[0], model.layers[2]):
        layer.cell.recurrent_kernel.assign(layer.cell.recurrent_kernel * 60)  # chaotic
    export.export_litert(model, tmp_path / "model.tflite", streaming=True)


def test_the_long_sequence_is_made_of_the_steps_of_a_sample(tmp_path):
    def echo(x):
        return x + keras.ops.pad(x, [[0, 0], [8, 0], [0, 0]])[:, :-8]

    model = sequential(keras.layers.Lambda(echo, name="echo"), gru())
    sample = np.random.default_rng(0).normal(size=(1, 3, 4))
    expected = f"{START}'echo' (Lambda) {READS}{ELSEWHERE}"
    assert message(model, tmp_path, sample=sample) == expected


def test_a_layer_that_does_not_run_on_a_chunk_is_named(tmp_path):
    model = sequential(keras.layers.Conv1D(4, 3, name="conv"), gru())
    text = message(model, tmp_path)
    assert text.startswith(START + "'conv' (Conv1D) does not run on a chunk, (1, 1, 4): ")
    assert "{{" not in text and "\n" not in text


@pytest.mark.parametrize(
    "options, expected",
    [
        (
            {"streaming": 1},
            "`streaming` must be True or False. Received: streaming=1",
        ),
        (
            {"steps": "dynamic"},
            "`steps` must be an integer of at least 1 with streaming=True: a stream has states and "
            "chunks of one size. Received: steps='dynamic'",
        ),
        (
            {"batch_size": "dynamic"},
            "`batch_size` must be an integer of at least 1 with streaming=True: a stream has "
            "states and chunks of one size. Received: batch_size='dynamic'",
        ),
        (
            {"steps": 3, "sample": np.zeros((1, 7, 4))},
            "`sample` must have an array for each input of the file, x (1, None, 4), with at least "
            "two chunks of 3 steps, and whole ones, in place of None. Received: arrays of shape "
            "(1, 7, 4)",
        ),
    ],
)
def test_options(options, expected, tmp_path):
    model = keras.Sequential([keras.Input((None, 4), name="x"), gru()])
    with pytest.raises(ValueError) as error:
        export.export_litert(model, tmp_path / "model.tflite", **{"streaming": True, **options})
    assert str(error.value) == expected
    assert not os.listdir(tmp_path)


def test_a_model_without_an_axis_of_steps(tmp_path):
    scalar = keras.Input((), name="x")
    y = keras.layers.SimpleRNN(2)(keras.layers.Reshape((1, 1))(scalar))
    assert message(keras.Model(scalar, y, name="model"), tmp_path) == (
        "`model` must have an input with an axis of steps, `[batch, steps, ...]`, to be streamed. "
        "Received: model='model' with inputs of shape (None,)"
    )


def test_a_file_that_the_runtime_does_not_run_is_refused_in_its_words(tmp_path, monkeypatch):
    sparse = chunks.flatbuffer.schema().BuiltinOperator.DENSIFY

    def other_operators(file):
        for code in file.operatorCodes:
            code.builtinCode = code.deprecatedBuiltinCode = sparse

    monkeypatch.setattr(chunks.flatbuffer, "part_outputs", other_operators)
    text = message(sequential(gru()), tmp_path)
    assert text.startswith(
        "`model` must run in LiteRT's interpreter; nothing was written. Received: model='model', "
        "which on chunks of shape (1, 1, 4) says: "
    )


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = sequential(gru())
    model.layers[0].cell.bias.assign(np.full((2, 12), np.nan))
    assert message(model, tmp_path) == (
        "`model` must give the same outputs in the file as in Keras, to a tolerance of 0.0001; "
        "nothing was written. Received: model='model', whose outputs are not finite"
    )
