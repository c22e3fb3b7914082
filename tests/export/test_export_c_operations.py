"""Operations between layers, and what is clipped, in models that `export_c` writes."""

import re

import keras
import numpy as np
import pytest
from exported_models import randomised, sequential

import ksr_runtime
from keras_sparse_rnn.export import export_c

K = keras.layers
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """Without one an export takes no seconds, and is run in `ksr_runtime` alone."""
    monkeypatch.setenv("CC", "/nonexistent/cc")


OPERATIONS = {
    "highway": lambda x, y: x * K.Activation("sigmoid")(y) + y * (1 - K.Activation("sigmoid")(y)),
    "numbers": lambda x, y: (2 * x - 0.5) / 3 + (-y - 1.0) + y / np.arange(1.0, 5.0) * 0.25,
    "arrays": lambda x, y: x + np.array([[[1.0, 2.0, 3.0, 4.0]]]) - np.array([0.5]) - y,
    "functions": lambda x, y: keras.ops.tanh(x) + keras.ops.sigmoid(y) + keras.ops.relu(x - y),
    "more functions": lambda x, y: keras.ops.softmax(x) + keras.ops.silu(
        y) + keras.ops.hard_sigmoid(x),
    "clipped": lambda x, y: keras.ops.relu6(9 * x) + keras.ops.hard_tanh(y) +
        keras.activations.relu(x, max_value=0.3),
    "rectified": lambda x, y: keras.ops.leaky_relu(x, 0.3) - keras.activations.relu(y) +
        keras.activations.relu(x, negative_slope=0.1) * keras.activations.sigmoid(y),
    "layers": lambda x, y: K.Average()([K.Subtract()([x, y]), x, y]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_say_what_they_say_in_keras(name, tmp_path):
    x = keras.Input((None, 6))
    one, two = (K.Dense(4)(x) for _ in range(2))
    model = randomised(keras.Model(x, OPERATIONS[name](one, two)))
    export_c(model, tmp_path / "c")
    sequence = RNG.normal(size=(1, 5, 6)).astype("float32")
    result = ksr_runtime.Model(tmp_path / "c" / "model.ksr").run(sequence)
    np.testing.assert_allclose(result, np.asarray(model(sequence)), atol=1e-5)


def test_infinite_numbers_are_clipped_as_in_keras(tmp_path):
    chain = [K.ReLU(6.0), K.Activation("hard_tanh"), K.LeakyReLU(0.1), K.Activation("leaky_relu")]
    x = np.array([[[np.inf, -np.inf, 1e30, -1e30, 0.0, np.nan]]], "float32")
    for number, layer in enumerate(chain):
        model = sequential(layer)
        export_c(model, tmp_path / str(number))
        result = ksr_runtime.Model(tmp_path / str(number) / "model.ksr").run(x)
        np.testing.assert_allclose(result, np.asarray(model(x)), rtol=1e-6)


def test_what_is_clipped_is_not_rounded(tmp_path):
    for number, layer in enumerate((K.ReLU(1e6), K.Activation("hard_tanh"))):
        model = sequential(layer)
        export_c(model, tmp_path / str(number))
        x = np.array([[[1e-30, 1e-5, 0.1, 0.3, 0.99, 7.0]]], "float32")
        result = ksr_runtime.Model(tmp_path / str(number) / "model.ksr").run(x)
        np.testing.assert_array_equal(result, np.asarray(model(x)))


class Add(keras.Operation):
    """Of somebody's own."""

    def call(self, x):
        return x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


REFUSED = {
    "1 / x": (lambda x: 1.0 / x, "it divides by a tensor; multiply by what a layer gives"),
    "x / y": (lambda x: x / K.Dense(4)(x), "it divides by a tensor; multiply by what a layer"),
    "x / 0": (lambda x: x / np.array([1.0, 0.0, 1.0, 1.0]), "it divides by zero"),
    "huge": (lambda x: x * np.full(4, 1e39), "it has inf among its numbers; they must be finite"),
    "nan": (lambda x: x + float("nan"), "it has nan among its numbers; they must be finite"),
    "own": (lambda x: Add()(x), "it is an operation of your own; use those of Keras"),
    "more axes": (
        lambda x: K.LSTM(4)(x) + np.ones((1, 1, 4)),
        "it has an array of shape (1, 1, 4) beside frames of 4 numbers; use one number, or 4",
    ),
    "steps": (lambda x: x + np.ones((5, 4)), "it has an array of shape (5, 4) beside frames of 4"),
    "broadcast": (
        lambda x: x * K.Dense(1)(x),
        "its inputs have [4, 1] numbers in a frame; give them the same",
    ),
    "axis": (lambda x: keras.ops.softmax(x, axis=1), "it has axis=1; use axis=-1"),
    "unknown": (
        lambda x: keras.ops.exp(x),
        "it is not among the operations that are known here: Add, Divide, HardSigmoid",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operations_that_no_step_does_are_refused(name, tmp_path):
    operation, says = REFUSED[name]
    x = keras.Input((5, 4))
    with pytest.raises(ValueError, match=re.escape(says)):
        export_c(keras.Model(x, operation(x)), tmp_path / "c")
    assert not list(tmp_path.iterdir())


def of_input(dtype, *layers):
    return keras.Sequential([keras.Input((None, 4), dtype=dtype), *layers])


WHOLE = {
    "operation": lambda x: x * 2,
    "relu": lambda x: K.ReLU(5.5)(x),
    "sum": lambda x: K.Add()([x, x]),
    "time distributed": lambda x: K.TimeDistributed(K.ReLU(5.5))(x),
    "behind a model": lambda x: K.ReLU(5.5)(of_input("uint8", K.Dropout(0.5))(x)),
    "behind both": lambda x: K.Concatenate()([x, K.Identity()(x)]) * 2,
    "normalization": lambda x: K.LayerNormalization()(x),
}
FLOAT = {
    "scaled": lambda x: K.Rescaling(1 / 255)(K.Concatenate()([K.Identity()(x), x])),
    "divided": lambda x: (x / 255 - 0.5) * x,
    "added": lambda x: K.Add()([x, K.Dense(4)(x)]) - x,
    "beside": lambda x: K.ReLU(5.5)(K.Concatenate()([x, K.Dense(4)(x)])),
    "cast": lambda x: of_input("float32", K.ReLU(5.5))(x),
    "layers": lambda x: K.TimeDistributed(K.Dense(3))(K.BatchNormalization()(x)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_no_float32(name, tmp_path):
    """Keras keeps them whole, and cuts them off; C would not."""
    x = keras.Input((None, 4), dtype="uint8")
    model = keras.Model(x, K.Dense(3)(WHOLE[name](x)))
    says = "it would compute with integers in Keras and with float32 in C; let the input be"
    with pytest.raises(ValueError, match=says):
        export_c(model, tmp_path / "c")


def test_whole_numbers_of_two_types_stay_whole_side_by_side(tmp_path):
    x, y = (keras.Input((None, 4), dtype=dtype) for dtype in ("uint8", "int32"))
    model = keras.Model([x, y], K.ReLU(5.5)(K.Concatenate()([x, y])))
    with pytest.raises(
        ValueError, match="it would compute with integers in Keras and with float32"
    ):
        export_c(model, tmp_path / "c")


@pytest.mark.parametrize("name", FLOAT)
def test_whole_numbers_become_float32_where_they_do_in_keras(name, tmp_path):
    x = keras.Input((None, 4), dtype="uint8")
    model = randomised(keras.Model(x, K.Dense(3)(FLOAT[name](x))))
    export_c(model, tmp_path / "c")
    frames = np.array([[[0, 1, 200, 255], [7, 90, 128, 3]]], "uint8")
    result = ksr_runtime.Model(tmp_path / "c" / "model.ksr").run(frames.astype("float32"))
    np.testing.assert_allclose(result, np.asarray(model(frames)), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("outer", "own"), [("int32", "uint8"), ("float32", "int32")])
def test_a_model_inside_that_casts_to_integers_is_refused(outer, own, tmp_path):
    x = keras.Input((None, 4), dtype=outer)
    inside = of_input(own, K.Dense(3))
    # Old versions of Keras cast by an operation of their own.
    says = f"casts {outer} to {own}, which C does not; give them the same type|of type Cast: it is"
    with pytest.raises(ValueError, match=says):
        export_c(keras.Model(x, inside(x)), tmp_path / "c")


def test_tokens_may_be_float32_outside_of_a_model_that_reads_integers(tmp_path):
    x, tokens = keras.Input((None,)), keras.Input((None,), dtype="int32")
    inside = keras.Model(tokens, K.Embedding(5, 4)(tokens))
    export_c(randomised(keras.Model(x, K.GRU(3)(inside(x)))), tmp_path / "c")


def test_a_model_in_a_time_distributed_has_no_steps_of_its_own(tmp_path):
    x = keras.Input((1,), dtype="int32")
    inside = keras.Model(x, K.LSTM(3)(K.Embedding(5, 4, name="table")(x)))
    model = keras.Sequential([keras.Input((7, 1), dtype="int32"), K.TimeDistributed(inside)])
    says = "of type LSTM: it reads (None, 1, 4) inside a TimeDistributed; frames have"
    with pytest.raises(ValueError, match=re.escape(says)):
        export_c(model, tmp_path / "c")


def test_a_model_inside_is_called_with_its_keys_or_the_names_of_its_inputs(tmp_path):
    one, two = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    by_key = keras.Model({"b": two, "a": one}, one - 2 * two)
    nested = keras.Model({"q": {"b": one, "a": two}}, one - 2 * two)
    by_name = keras.Model([two, one], one - 2 * two)
    x, y = keras.Input((None, 3)), keras.Input((None, 3))
    calls = (
        lambda: by_key({"a": x, "b": y}),
        lambda: by_key(inputs={"b": x, "a": y}),
        lambda: nested({"q": {"b": x, "a": y}}),
        lambda: by_name({"a": x, "b": y}),
        lambda: by_name(inputs={"a": x, "b": y}),
        lambda: by_name([x, y]),
    )
    for number, call in enumerate(calls):
        export_c(randomised(keras.Model([x, y], K.Dense(2)(call()))), tmp_path / str(number))


class Residual(K.StackedRNNCells):
    def call(self, inputs, states, **options):
        output, states = super().call(inputs, states, **options)
        return output + inputs, states


def test_a_stack_of_somebody_is_no_stack(tmp_path):
    model = sequential(K.RNN(Residual([K.GRUCell(6), K.GRUCell(6)], name="own")))
    with pytest.raises(ValueError, match="it has the cell 'own' of type Residual; use one of LSTM"):
        export_c(model, tmp_path / "c", tolerance=100.0)
