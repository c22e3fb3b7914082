"""Files of runtime="ksr": our operator computes what Keras does, in every form that layers have."""

import keras
import numpy as np
import pytest
from pruned_models import prune, pruned, randomised

from keras_sparse_rnn import export, layers, substitute
from keras_sparse_rnn.export import flatbuffer, library, own_operators

pytestmark = pytest.mark.skipif(not library.LIBRARY.exists(), reason="the library was not built")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def model_of(*parts, shape=(7, 19), **options):
    return randomised(
        keras.Sequential([keras.Input(shape, name="x", **options), *parts], name="small")
    )


def exported(model, tmp_path, **options):
    options = {"weights": "float32", "activations": "float32", **options}
    return export.export_litert(model, tmp_path / "model.tflite", "ksr", **options)


CELLS = {
    "LSTM": lambda **options: keras.layers.LSTM(21, **options),
    "GRU": lambda **options: keras.layers.GRU(21, **options),
    "GRU that resets before": lambda **options: keras.layers.GRU(21, reset_after=False, **options),
    "SimpleRNN": lambda **options: keras.layers.SimpleRNN(21, **options),
    "SimpleRNN with relu": lambda **options: keras.layers.SimpleRNN(
        21, activation="relu", **options
    ),
}
NUMBERS = [
    ("float32", "float32", 1e-5),
    ("bfloat16", "float32", 0.02),
    ("int8", "float32", 0.02),
    ("int8", "int8", 0.02),
]


@pytest.mark.parametrize("weights, activations, tolerance", NUMBERS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.quick_cases(6)
def test_a_layer_is_one_operator_and_computes_what_keras_does(
    cell, weights, activations, tolerance, tmp_path
):
    layer = CELLS[cell](return_sequences=True)
    model = model_of(layer)
    prune(layer, (4, 4), 0.7)
    summary = exported(model, tmp_path, weights=weights, activations=activations)
    assert summary.operators == ("CUSTOM:KsrCell",)
    assert (summary.sparse_tensors, summary.computed_sparse) == (2, 2)
    assert summary.largest_error < tolerance


@pytest.mark.parametrize(
    "parts, operators",
    [
        ([keras.layers.LSTM(8, use_bias=False)], {"STRIDED_SLICE"}),
        ([keras.layers.GRU(8, go_backwards=True, return_sequences=True)], {"REVERSE_V2"}),
        ([keras.layers.Masking(-1.0), keras.layers.LSTM(8, return_sequences=True)], None),
        (
            [keras.layers.Masking(-1.0), keras.layers.Bidirectional(keras.layers.GRU(8))],
            None,
        ),
        (
            [
                keras.layers.Masking(-1.0),
                keras.layers.GRU(8, return_sequences=True, zero_output_for_mask=True),
            ],
            None,
        ),
        ([keras.layers.LSTM(8, return_sequences=True), keras.layers.LSTM(5)], {"STRIDED_SLICE"}),
        ([keras.layers.TimeDistributed(keras.layers.LSTM(8))], None),
    ],
    ids=["no bias", "backwards", "masked", "both ways, masked", "zeros", "stacked", "distributed"],
)
def test_what_is_around_the_steps_is_built_in(parts, operators, tmp_path):
    shape = (7, 3, 6) if isinstance(parts[0], keras.layers.TimeDistributed) else (7, 19)
    summary = exported(model_of(*parts, shape=shape), tmp_path)
    assert "CUSTOM:KsrCell" in summary.operators
    assert not {"WHILE", "FULLY_CONNECTED", "BATCH_MATMUL"} & set(summary.operators)
    assert operators is None or set(summary.operators) == {"CUSTOM:KsrCell", *operators}
    assert summary.largest_error < 1e-5


def test_initial_states_come_in_and_states_go_out(tmp_path):
    x, h, c = (keras.Input(shape, name=name) for name, shape in
               (("x", (7, 6)), ("h", (9,)), ("c", (9,))))  # fmt: skip
    outputs = keras.layers.LSTM(9, return_state=True, return_sequences=True)(
        x, initial_state=[h, c]
    )
    only_the_state = keras.layers.GRU(9, return_state=True)(x)[1]
    model = randomised(keras.Model([x, h, c], [*outputs, only_the_state]))
    assert exported(model, tmp_path).largest_error < 1e-5


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_chunks_with_int8_activations_are_the_whole_to_the_bit(cell, tmp_path):
    """Their states leave the operator as they are in it."""
    layer = CELLS[cell](stateful=True, return_sequences=True)
    model = model_of(layer, shape=(8, 19), batch_size=1)
    files = []
    for steps in (8, 2):
        path = tmp_path / f"{steps}.tflite"
        export.export_litert(model, path, "ksr", "int8", "int8", steps=steps)
        files.append(export.Interpreter(path))
    x = np.random.default_rng(0).normal(size=(1, 8, 19)).astype("float32")
    (whole,) = files[0](x=x).values()
    chunks = [next(iter(files[1](x=x[:, at : at + 2]).values())) for at in range(0, 8, 2)]
    np.testing.assert_array_equal(np.concatenate(chunks, 1), whole)


def test_a_stateful_layer_goes_on_and_is_reset(tmp_path):
    model = model_of(keras.layers.GRU(9, stateful=True), batch_size=2)
    exported(model, tmp_path)
    interpreter = export.Interpreter(tmp_path / "model.tflite")
    x = np.ones((2, 7, 19), "float32")
    first, second = (next(iter(interpreter(x=x).values())) for _ in range(2))
    assert not np.allclose(first, second)
    interpreter.reset_states()
    np.testing.assert_array_equal(next(iter(interpreter(x=x).values())), first)


def test_a_chunk_that_begins_masked_repeats_the_output_before_it(tmp_path, monkeypatch):
    """As the whole sequence does, where whoever cuts it into chunks says what that output was."""
    loop_of = own_operators.OwnOperators.loop_of

    def with_previous(self, layer):
        loop = loop_of(self, layer)
        return lambda initial_state, **options: loop(
            initial_state=initial_state, previous=initial_state[0], **options
        )

    monkeypatch.setattr(own_operators.OwnOperators, "loop_of", with_previous)
    layer = keras.layers.GRU(9, return_sequences=True, stateful=True)
    model = model_of(keras.layers.Masking(0.0), layer, shape=(4, 5), batch_size=1)
    exported(model, tmp_path, tolerance=9)  # Keras gives zeros at the begin of each chunk
    x = np.random.default_rng(0).normal(size=(1, 8, 5)).astype("float32")
    x[0, [0, 4, 5, 7]] = 0
    layer.reset_states()
    whole = keras.Sequential([keras.Input((8, 5), batch_size=1), *model.layers])(x).numpy()
    interpreter = export.Interpreter(tmp_path / "model.tflite")
    chunks = [next(iter(interpreter(x=x[:, at : at + 4]).values())) for at in (0, 4)]
    np.testing.assert_allclose(np.concatenate(chunks, 1), whole, atol=1e-5)
    assert whole[0, 4].any() and not whole[0, 0].any()


def test_open_batch_and_steps(tmp_path):
    layer = keras.layers.LSTM(9, return_sequences=True)
    model = model_of(layer, keras.layers.GRU(5), shape=(None, 6))
    summary = exported(model, tmp_path, batch_size="dynamic", steps="dynamic")
    assert summary.largest_error < 1e-5
    interpreter = export.Interpreter(tmp_path / "model.tflite")
    for batch, steps in ((3, 5), (1, 1), (2, 11)):
        x = np.random.default_rng(0).normal(size=(batch, steps, 6)).astype("float32")
        (received,) = interpreter(x=x).values()
        np.testing.assert_allclose(received, model(x), atol=1e-5)


@pytest.mark.parametrize(
    "activation", [None, "relu", "tanh", "sigmoid", "hard_sigmoid", "silu", "softmax", "selu"]
)
@pytest.mark.quick_cases(3)
def test_a_pruned_dense_layer_is_an_operator_too(activation, tmp_path):
    dense = keras.layers.Dense(24, activation=activation)
    model = model_of(keras.layers.GRU(20, return_sequences=True), dense)
    dense.kernel.assign(pruned(dense.kernel.numpy(), (4, 8), 1, 0.7))
    summary = exported(model, tmp_path)
    others = {"ELU", "SELU", "EXP", "MUL", "SELECT", "SELECT_V2", "GREATER", "SUB", "ADD"}
    assert set(summary.operators) - others == {"CUSTOM:KsrCell"}
    assert summary.sparse_tensors == 3
    assert summary.largest_error < 1e-5


def test_a_dense_layer_that_is_dense_is_left_to_the_runtime(tmp_path):
    model = model_of(keras.layers.GRU(20), keras.layers.Dense(4))
    assert exported(model, tmp_path).operators == (
        "CUSTOM:KsrCell",
        "FULLY_CONNECTED",
        "STRIDED_SLICE",
    )


def test_what_our_operator_does_not_compute_is_built_in(tmp_path):
    model = model_of(
        keras.layers.LSTM(8, activation="elu", return_sequences=True), keras.layers.GRU(4)
    )
    summary = exported(model, tmp_path)
    assert {"CUSTOM:KsrCell", "FULLY_CONNECTED"} <= set(summary.operators)
    assert summary.largest_error < 1e-5


@pytest.mark.parametrize("weights, activations, tolerance", NUMBERS)
def test_block_sparse_layers_give_their_weights(weights, activations, tolerance, tmp_path):
    """Also those that are quantised themselves: their integers go into the file again."""
    layer = layers.BlockSparseLSTM(20, (4, 4), sparsity=0.7, return_sequences=True)
    model = substitute(model_of(layer), weights=weights, activations=activations)
    summary = exported(model, tmp_path, weights=weights, activations=activations)
    assert summary.operators == ("CUSTOM:KsrCell",)
    rounding = 1e-5 if activations == "float32" else tolerance
    assert summary.largest_error < rounding


@pytest.mark.parametrize("streaming", [False, True])
def test_a_layer_gives_its_input_range(streaming, tmp_path):
    """Inputs beyond it count as it, and the file is compared with a layer of which that is true."""
    integers = {"weights": "int8", "activations": "int8"}
    layer = layers.BlockSparseLSTM(
        16, (4, 4), sparsity=0.5, return_sequences=True, input_range=0.5, **integers
    )
    model = model_of(layer)
    summary = exported(model, tmp_path, streaming=streaming, **integers)
    content = (tmp_path / "model.tflite").read_bytes()
    assert np.frombuffer(content, "<f4", 1, content.index(b"ksr-file") + 48) == 0.5
    assert summary.largest_error < 1e-5
    assert layer.input_range == 0.5


def test_a_block_sparse_dense_layer_is_an_operator(tmp_path):
    dense = layers.BlockSparseDense(16, (4, 4), sparsity=0.7, activation="relu")
    summary = exported(model_of(keras.layers.GRU(20, return_sequences=True), dense), tmp_path)
    assert summary.operators == ("CUSTOM:KsrCell",)
    assert summary.largest_error < 1e-5


def test_kernels_without_a_live_block(tmp_path):
    layer = keras.layers.LSTM(8, return_sequences=True)
    model = model_of(layer)
    layer.cell.kernel.assign(np.zeros((19, 32)))
    for weights, activations, _ in NUMBERS:
        summary = exported(model, tmp_path, weights=weights, activations=activations)
        assert summary.largest_error < 0.02


def test_a_large_layer_is_a_ninth_and_in_int8_a_thirtieth_of_the_dense_one(tmp_path):
    layer = keras.layers.LSTM(512)
    model = model_of(layer, shape=(1, 256))
    prune(layer, (16, 16), 0.9)
    assert exported(model, tmp_path).ratio > 9
    assert exported(model, tmp_path, weights="int8", activations="int8").ratio > 30


def test_cells_lie_where_they_can_be_read(tmp_path):
    exported(model_of(keras.layers.GRU(5, return_sequences=True), keras.layers.LSTM(7)), tmp_path)
    content = (tmp_path / "model.tflite").read_bytes()
    model = flatbuffer.unpack(content)
    cells = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None]
    cells = [cell for cell in cells if cell.startswith(b"ksr-file")]
    assert len(cells) == 2
    assert [content.index(cell) % own_operators.ALIGNMENT for cell in cells] == [0, 0]


def test_operators_of_others_are_still_refused(tmp_path):
    """Custom operators are allowed for ours, and no others with them."""

    class Determinant(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.det(inputs)

    model = model_of(keras.layers.GRU(3, return_sequences=True), Determinant(), shape=(3, 3))
    with pytest.raises(ValueError) as error:
        exported(model, tmp_path)
    assert str(error.value) == (
        "`model` must use only operators that LiteRT has built in. Received: model='small', whose "
        "conversion stopped at the operators MatrixDeterminant"
    )
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_named_with_their_layer(tmp_path):
    model = model_of(keras.layers.GRU(3, name="listener"))
    model.layers[0].cell.bias.assign(np.full((2, 9), np.nan))
    with pytest.raises(ValueError) as error:
        exported(model, tmp_path)
    assert str(error.value) == (
        "`model` must have layers that make cells. Received: the layer 'listener': "
        "bias[0] is nan: it must be a finite number"
    )
    assert not list(tmp_path.iterdir())
