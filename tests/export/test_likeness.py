"""Outputs that are far below 1 are compared, too."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.export import conversion, likeness, verification
from keras_sparse_rnn.export.c import export


def probabilities(count, spread, seed=0):
    logits = np.random.default_rng(seed).normal(scale=spread, size=(2, 24, count))
    return np.asarray(keras.ops.softmax(logits))


@pytest.mark.parametrize("rounded", [False, True])
def test_another_order_is_another_output(rounded):
    expected = probabilities(20_000, 0.2)
    assert np.abs(expected[..., ::-1] - expected).max() < 1e-4  # the tolerance, relative to 1
    assert likeness.is_another(expected, expected[..., ::-1], rounded)
    noise = np.random.default_rng(1).normal(size=expected.shape)
    size = 0.02 if rounded else 1e-5
    assert not likeness.is_another(expected, expected * (1 + size * noise), rounded)


def test_what_does_not_vary_and_noise_are_not_judged():
    constant = np.full((2, 3), 0.25)
    assert not likeness.is_another(constant, constant + 1e-6, False)
    assert not likeness.is_another(np.zeros((2, 3)), np.full((2, 3), 1e-6), False)
    assert not likeness.is_another(np.array([[0.5]]), np.array([[0.4]]), False)
    small = np.random.default_rng(0).normal(scale=1e-9, size=(4, 5))
    assert not likeness.is_another(small, -small, False)


def model(words=300):
    x = keras.Input((None, 4))
    states = keras.layers.GRU(8, return_sequences=True)(x)
    return keras.Model(x, keras.layers.Dense(words, activation="softmax")(states), name="words")


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """What is looked at here is found before anything is compiled."""
    monkeypatch.setattr(export, "compiler", lambda: None)


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_words_in_another_order_are_refused_in_c(tmp_path, monkeypatch, weights):
    made, call = model(), conversion.call
    monkeypatch.setattr(
        conversion, "call", lambda *given: [keras.ops.flip(one, -1) for one in call(*given)]
    )
    with pytest.raises(ValueError, match="'words', of whose outputs one differs by as much as"):
        ksr.export_c(made, tmp_path / "out", weights=weights)
    assert not (tmp_path / "out").exists()
    ksr.export_c(made, tmp_path / "out", weights=weights, tolerance=0.5)  # as somebody wishes


def test_words_in_another_order_are_refused_in_litert(tmp_path, monkeypatch):
    run = verification.run
    monkeypatch.setattr(
        verification,
        "run",
        lambda *given: {name: one[..., ::-1] for name, one in run(*given).items()},
    )
    made = model(20_000)
    with pytest.raises(ValueError, match="'words', of whose outputs one differs by as much as"):
        ksr.export_litert(made, tmp_path / "out", steps=9)
    assert not list(tmp_path.iterdir())


CONSTANTS = {
    "initial_state": lambda x: keras.layers.GRU(4)(x, initial_state=[np.full((2, 4), 0.5, "f")]),
    "mask": lambda x: keras.layers.GRU(4)(x, mask=np.array([[False] * 3 + [True] * 21] * 2)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_what_a_layer_is_called_with_beside_tensors_is_not_lost(tmp_path, name):
    x = keras.Input((24, 3), batch_size=2)
    made = keras.Model(x, keras.layers.Dense(2)(CONSTANTS[name](x)))
    with pytest.raises(ValueError, match=f"called with `{name}` of type ndarray, which is no tens"):
        ksr.export_c(made, tmp_path / "out")


def test_sequences_that_have_not_forgotten_how_they_began_are_compared(tmp_path, monkeypatch):
    """Of an output of the last step, what 24 steps say may be right and what one says wrong."""
    x = keras.Input((None, 3))
    made, call = keras.Model(x, keras.layers.GRU(4)(x), name="short"), conversion.call

    def others_begun(model, structure, inputs):
        return [one + (inputs[0].shape[1] == 1) for one in call(model, structure, inputs)]

    ksr.export_c(made, tmp_path / "out")
    monkeypatch.setattr(conversion, "call", others_begun)
    with pytest.raises(ValueError, match="'short', .* differ"):
        ksr.export_c(made, tmp_path / "out")


def test_numbers_that_are_whole_are_compared_as_such(tmp_path):
    x = keras.Input((None, 3), dtype="int32")
    made = keras.Model(x, keras.layers.LSTM(4)(keras.layers.Rescaling(0.5)(x)))
    assert ksr.export_c(made, tmp_path / "out").largest_error < 1e-5


def test_a_head_that_is_a_model_is_taken(tmp_path):
    x = keras.Input((None, 3))
    head = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    made = keras.Model(x, head(keras.layers.LSTM(8)(x)))
    assert ksr.export_c(made, tmp_path / "out").largest_error < 1e-5


def test_inputs_of_a_model_inside_go_by_their_names(tmp_path):
    b, a = keras.Input((None, 3), name="b"), keras.Input((None, 3), name="a")
    inner = keras.Model([b, a], keras.layers.Concatenate()([keras.layers.Dense(2)(b), a]))
    one, other = keras.Input((None, 3)), keras.Input((None, 3))
    made = keras.Model([one, other], keras.layers.GRU(4)(inner({"a": one, "b": other})))
    assert ksr.export_c(made, tmp_path / "out").largest_error < 1e-5


REFUSED = {
    "quantized by Keras": "Keras has quantized it .int8.; export the float model",
    "several outputs": "it gives several outputs; use a layer for each",
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_are_refused(tmp_path, name):
    a, b = keras.Input((None, 3)), keras.Input((None, 3))
    if name == "several outputs":
        outputs = keras.layers.Identity()([a, b])[1]
    else:
        outputs = keras.layers.Dense(4)(a)
    made = keras.Model([a, b], keras.layers.Add()([keras.layers.Dense(3)(outputs), b]))
    if name == "quantized by Keras":
        made.layers[-1 if made.layers[-1].name.startswith("dense") else 2].quantize("int8")
    with pytest.raises(ValueError, match=REFUSED[name]):
        ksr.export_c(made, tmp_path / "out")


def test_long_names_of_outputs_stay_different(tmp_path):
    import ksr_runtime

    x = keras.Input((None, 3))
    names = ["名前" * 12 + letter for letter in "ab"]
    outputs = {name: keras.layers.Dense(2, name=name)(x) for name in names}
    ksr.export_c(keras.Model(x, outputs), tmp_path / "out")
    ports = ksr_runtime.Model(tmp_path / "out" / "model.ksr").outputs
    assert len({port.name for port in ports}) == 2
