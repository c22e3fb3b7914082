"""What comes out of `export_c`, layer by layer, run in `ksr_runtime`, and once as a program."""

import json
import re
import subprocess

import keras
import numpy as np
import pytest
from exported_models import randomised, sequential

import keras_sparse_rnn as ksr
import ksr_runtime
from keras_sparse_rnn import running
from keras_sparse_rnn.export import export_c
from keras_sparse_rnn.export.c.folder import identifiers

K = keras.layers
RNG = np.random.default_rng(0)


@pytest.fixture
def no_compiler(monkeypatch):
    """Without one an export takes no seconds, and is run in `ksr_runtime` alone."""
    monkeypatch.setenv("CC", "/nonexistent/cc")


def rnn(kind=K.LSTM, **options):
    return kind(9, return_sequences=True, **options)


CHAINS = {
    "lstm": lambda: [rnn()],
    "lstm without bias": lambda: [rnn(use_bias=False)],
    "gru": lambda: [rnn(K.GRU)],
    "gru, reset before": lambda: [rnn(K.GRU, reset_after=False)],
    "simple rnn": lambda: [rnn(K.SimpleRNN)],
    "simple rnn, relu": lambda: [rnn(K.SimpleRNN, activation="relu")],
    "stack with dropout": lambda: [rnn(), K.Dropout(0.5), rnn(K.GRU, dropout=0.2), K.Dense(3)],
    "stateful": lambda: [rnn(stateful=True), K.RNN(K.GRUCell(4), stateful=True)],
    "last step": lambda: [K.LSTM(5), K.Dense(4, activation="softmax")],
    "dense activations": lambda: [
        K.Dense(7, activation=name)
        for name in ("relu", "tanh", "sigmoid", "hard_sigmoid", "silu", "softmax", None)
    ],
    "activation layers": lambda: [
        K.Activation("tanh"), K.ReLU(), K.Dense(5, use_bias=False), K.Activation("silu"),
        K.Softmax(), K.Activation("linear"),
    ],
    "convolutions": lambda: [
        K.Conv1D(8, 3, padding="causal", activation="relu"),
        K.Conv1D(6, 4, padding="causal", dilation_rate=3, groups=2),
        K.Conv1D(5, 1),
    ],
    "scales": lambda: [K.Rescaling(0.5, 1.0), K.BatchNormalization(), rnn(), K.BatchNormalization(
        scale=False, center=False)],
    "rectifiers": lambda: [
        K.Dense(7, activation="leaky_relu"), K.Dense(7, activation="relu6"),
        K.Dense(7, activation=K.PReLU(shared_axes=[1])), K.Dense(7, activation="hard_tanh"),
        K.Dense(7, activation=ksr.activations.AllReLU(0.6, 1)), K.PReLU(shared_axes=[1]),
        K.Conv1D(7, 1, activation=ksr.activations.AllReLU(0.6, 2)), K.LeakyReLU(), K.ReLU(0.5),
        K.Activation("hard_silu"), K.ReLU(negative_slope=0.1), K.ReLU(float("inf")),
        K.Activation(K.LeakyReLU(0.3)), K.Dense(7, activation=K.Dropout(0.3)),
    ],
    "normalizations": lambda: [
        K.LayerNormalization(), rnn(), K.LayerNormalization(epsilon=0.1, center=False),
        rnn(K.GRU), K.LayerNormalization(scale=False), K.LSTM(5), K.LayerNormalization(axis=[-1]),
    ],
    "cells": lambda: [
        K.RNN(K.LSTMCell(9), return_sequences=True),
        K.RNN(K.StackedRNNCells([
            K.GRUCell(8, reset_after=False), K.SimpleRNNCell(7, activation="relu"),
            ksr.layers.BlockSparseCell(ksr.layers.BlockSparseGRU(12, (4, 4), sparsity=0.5)),
        ])),
    ],
    "time distributed": lambda: [K.TimeDistributed(K.Dense(4)), rnn()],
    "time distributed model": lambda: [
        K.TimeDistributed(keras.Sequential([
            K.Dense(8, activation="relu"), K.Dropout(0.5), K.LayerNormalization(), K.Dense(4),
        ])),
        rnn(),
    ],
    "model inside": lambda: [keras.Sequential([rnn(), K.Dense(4)]), rnn(K.GRU)],
    "block-sparse": lambda: [
        ksr.layers.BlockSparseLSTM(16, (4, 4), sparsity=0.5, return_sequences=True),
        ksr.layers.BlockSparseGRU(12, (4, 4), storage="masked", return_sequences=True),
        ksr.layers.BlockSparseDense(6, (2, 2), sparsity=0.5),
    ],
}  # fmt: skip
if hasattr(K, "RMSNormalization"):
    CHAINS["root mean squares"] = lambda: [
        K.RMSNormalization(),
        K.LSTM(5),
        K.RMSNormalization(epsilon=0.5),
    ]


@pytest.mark.parametrize("name", CHAINS)
def test_every_layer_says_what_it_says_in_keras(name, tmp_path, no_compiler):
    """`export_c` compares; here is a second look, chunk by chunk, on a length of its own."""
    model = sequential(*CHAINS[name](), batch=1 if name == "stateful" else None)
    summary = export_c(model, tmp_path / "c")
    assert summary.largest_error < 1e-5 and summary.compiler is None
    x = RNG.normal(size=(1, 9, 6)).astype("float32")
    stream = ksr_runtime.Model(tmp_path / "c" / "model.ksr").stream()
    parts = [stream(x[:, begin : begin + 3]) for begin in (0, 3, 6)]
    with running.states_at_zero(model):
        expected = np.asarray(model(x))
    result = np.concatenate(parts, axis=1) if expected.ndim == 3 else parts[-1]
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_an_infinite_number_goes_where_it_goes_in_keras(tmp_path, no_compiler):
    """Units that are there to fill a vector are multiplied with it, too, and give NaN: no other
    unit may read that.
    """
    for number, kind in enumerate(("lstm", "gru", "gru, reset before", "simple rnn")):
        model = sequential(*CHAINS[kind]())
        export_c(model, tmp_path / str(number))
        x = RNG.normal(size=(1, 6, 6)).astype("float32")
        x[0, 1, 2], x[0, 3, 0] = np.inf, -np.inf
        expected = np.asarray(model(x))
        assert np.isfinite(expected).all()
        result = ksr_runtime.Model(tmp_path / str(number) / "model.ksr").run(x)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def graph():
    """Several inputs and outputs, a residual connection, names that are no words of C."""
    tokens, x = keras.Input((None,), dtype="int32", name="a.b"), keras.Input((None, 4), name="int")
    both = K.Multiply()([K.Embedding(5, 4)(tokens), x])
    h = K.GRU(4, return_sequences=True)(both)
    h = K.LayerNormalization()(K.Add()([h, x, both])) * h + (1 - x)
    wide = K.Concatenate()([h, x])
    return randomised(keras.Model([tokens, x], [K.Dense(3)(wide), K.LSTM(2)(wide)], name="* graph"))


def test_a_graph_says_what_it_says_in_keras(tmp_path, no_compiler):
    model = graph()
    export_c(model, tmp_path / "c")
    tokens, x = RNG.integers(0, 5, (2, 7)), RNG.normal(size=(2, 7, 4)).astype("float32")
    results = ksr_runtime.Model(tmp_path / "c" / "model.ksr").run([tokens, x])
    for result, expected in zip(results.values(), model([tokens, x])):
        np.testing.assert_allclose(result, np.asarray(expected), atol=1e-5)


def test_the_outputs_of_a_dict_have_its_keys(tmp_path, no_compiler):
    x = keras.Input((None, 4))
    h = K.GRU(3, return_sequences=True)(x)
    outputs = {"up": K.Dense(2, name="down")(h), "down": K.Dense(2, name="up")(h)}
    model = randomised(keras.Model(x, outputs))
    export_c(model, tmp_path / "c")
    sequence = RNG.normal(size=(1, 5, 4)).astype("float32")
    results = ksr_runtime.Model(tmp_path / "c" / "model.ksr").run(sequence)
    assert list(results) == ["down", "up"]
    for name, expected in model(sequence).items():
        np.testing.assert_allclose(results[name], np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "activations", "error"),
    [("bfloat16", "float32", 1e-2), ("int8", "float32", 2e-2), ("int8", "int8", 5e-2)],
)
def test_weights_of_fewer_bits_are_near(weights, activations, error, tmp_path, no_compiler):
    layers = [K.Conv1D(8, 2, padding="causal"), rnn(), rnn(K.GRU), K.Dense(3)]
    model = sequential(*layers, features=24)
    export_c(model, tmp_path / "exact")
    small = export_c(model, tmp_path / "small", weights, activations)
    assert 0 < small.largest_error < error
    sizes = [(tmp_path / name / "model.ksr").stat().st_size for name in ("exact", "small")]
    assert sizes[1] < 0.75 * sizes[0]


def test_layers_that_are_quantised_already_keep_their_weights(tmp_path, no_compiler):
    """What was calibrated and measured is what runs."""
    model = sequential(K.LSTM(32, return_sequences=True), K.Dense(3))
    ksr.prune(model, 0.5, block_shape=(4, 4))
    sparse = ksr.substitute(model, block_shape=(4, 4), weights="int8")
    export_c(sparse, tmp_path / "c", tolerance=1e-5)
    float32 = sum(4 * kernel.size for kernel in sparse.layers[0].dense_kernels())
    assert (tmp_path / "c" / "model.ksr").stat().st_size < 0.4 * float32
    notes = ksr_runtime.Model(tmp_path / "c" / "model.ksr").notes
    assert 0.4 < notes["sparsity"] < 0.6


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A model, and the folder that it was exported to and where it was built by the C compiler."""
    folder = tmp_path_factory.mktemp("built") / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFLAGS", "-O1")
        summary = export_c(graph(), folder, name="two_in", metadata={"labels": ["a"]})
        assert [path.name for path in folder.parent.iterdir()] == ["c"]
        assert not (folder / "build").exists()
        subprocess.run(["sh", "build.sh"], cwd=folder, check=True)
    assert summary.compiler and summary.largest_error < 1e-5 and summary.code_bytes < 200_000
    return graph(), folder


def test_the_program_says_what_keras_says(built):
    """It reads frames as text."""
    model, folder = built
    tokens, x = RNG.integers(0, 5, (1, 3)), RNG.normal(size=(1, 3, 4)).astype("float32")
    lines = [" ".join(map(str, [t, *frame])) for t, frame in zip(tokens[0], x[0].tolist())]

    def run(text):
        return subprocess.run([folder / "two_in"], input=text, text=True, capture_output=True)

    printed = np.array([line.split() for line in run("\n".join(lines)).stdout.splitlines()], "f")
    expected = [np.asarray(each)[0] for each in model([tokens, x])]
    np.testing.assert_allclose(printed[:, :3], expected[0], atol=1e-5)
    np.testing.assert_allclose(printed[-1, 3:], expected[1], atol=1e-5)
    for text, says in (
        (f"{lines[0]} 1 0.5 0.5", "frame 1 has 3 numbers of 5\n"),
        ("7 0 0 0 0", "frame 0 has a token that is none of the model's\n"),
        ("1 0 nan word", "frame 0 has 3 numbers of 5\n"),
    ):
        ran = run(text)
        assert (ran.returncode, ran.stderr) == (1, says)


def test_the_interface_has_sizes_as_macros_and_names_of_c(built):
    """An input may be called `int` in Keras."""
    header = (built[1] / "two_in.h").read_text()
    assert "#define TWO_IN_A_B_WIDTH 1 /* a whole number from 0 to 4 */" in header
    assert "#define TWO_IN_INT_1_WIDTH 4\n" in header
    assert "two_in* two_in_init(void* memory);" in header
    assert "in this memory, which has TWO_IN_STREAM_BYTES bytes\n * or more: it is" in header
    assert "int two_in_step(two_in* model, const float a_b[TWO_IN_A_B_WIDTH], const float" in header


def test_names_of_inputs_become_names_of_c():
    """Different ones, in capitals too, and none that the written files use."""
    names = ["x", "X", "a b", "a_b", "int", "1", "inputs", "_y", "zähler"]
    wanted = ["x", "X_1", "a_b", "a_b_1", "int_1", "n_1", "inputs_1", "n__y", "z_hler"]
    assert identifiers(names) == wanted
    assert identifiers(["x", "printf", "NULL"], wanted) == ["x_2", "printf_1", "NULL_1"]


OTHER = """
#include <stdio.h>
#include "two_in.h"
static _Alignas(64) unsigned char file[65536], memory[262144];
int main(int count, char** arguments) {
  (void)arguments;
  size_t n = fread(file, 1, sizeof file, stdin);
  two_in* model = count > 1 ? two_in_open(file, n, memory, TWO_IN_STREAM_BYTES)
                            : two_in_init_from(file, n, memory, sizeof memory);
  if (!model) return fputs(two_in_error(memory), stdout), 0;
  float token[1] = {3}, x[4] = {0}, sequence[3], last[2];
  int status = two_in_step(model, token, x, sequence, last);
  printf("%d %.6f", status, last[1]);
}
"""


def test_weights_may_lie_elsewhere_and_those_of_other_models_are_refused(
    built, tmp_path, no_compiler
):
    """A prepared model is used where it lies. The kernels are those of the one model only."""
    folder = built[1]
    (tmp_path / "main.c").write_text(OTHER)
    objects = [path for path in (folder / "build").glob("*.o") if path.name != "nothing.o"]
    command = ["cc", "-I", folder, "main.c", folder / "two_in.c", *objects, "-lm", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    export_c(sequential(rnn(K.SimpleRNN)), tmp_path / "other")
    own = (folder / "two_in.ksr").read_bytes()
    ksr_runtime.Model(folder / "two_in.ksr").save(tmp_path / "prepared")
    result = np.asarray(built[0]([np.array([[3]]), np.zeros((1, 1, 4), "f")])[1])
    for content, says in (
        (own, f"0 {result[0, 1]:.6f}"),
        ((tmp_path / "other" / "model.ksr").read_bytes(),
         "this library was built for another model, and lacks a kernel that this one runs"),
        (own[:100], "memory has 100 bytes: the header alone takes 128"),
    ):  # fmt: skip
        ran = subprocess.run([tmp_path / "program"], input=content, capture_output=True)
        assert ran.stdout.decode() == says
    for content, says in (
        ((tmp_path / "prepared").read_bytes(), f"0 {result[0, 1]:.6f}"),
        (own, "this is a model's file, not a prepared model: use ksr_model_prepare"),
    ):
        ran = subprocess.run([tmp_path / "program", "open"], input=content, capture_output=True)
        assert ran.stdout.decode() == says


def test_the_notes_say_what_the_model_is(tmp_path, no_compiler):
    model = sequential(rnn())
    ksr.prune(model, 0.5, block_shape=(3, 3))
    export_c(model, tmp_path / "c", metadata={"sample_rate": 8000})
    notes = ksr_runtime.Model(tmp_path / "c" / "model.ksr").notes
    assert re.fullmatch(r"keras_sparse_rnn \S+", notes.pop("writer"))
    assert 0.4 < notes.pop("sparsity") < 0.6
    assert json.dumps(notes) == (
        '{"name": "chain", "weights": "float32", "activations": "float32", "sample_rate": 8000}'
    )
