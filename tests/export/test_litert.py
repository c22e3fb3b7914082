"""Exports run in the real interpreter: right outputs, no operator from outside, model untouched."""

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised, snapshot

from keras_sparse_rnn import export

LAYERS = {
    "lstm": lambda **options: keras.layers.LSTM(12, **options),
    "gru": lambda **options: keras.layers.GRU(8, **options),
    "gru reset before": lambda **options: keras.layers.GRU(8, reset_after=False, **options),
    "simple relu": lambda **options: keras.layers.SimpleRNN(9, activation="relu", **options),
}


def run(path, **inputs):
    return export.Interpreter(path, num_threads=1)(**inputs)


@pytest.mark.parametrize(
    "kind, sequences",
    [
        ("lstm", False),
        ("lstm", True),
        ("gru", True),
        ("gru reset before", False),
        ("simple relu", True),
    ],
)
@pytest.mark.quick_cases(2)
def test_every_cell_runs_in_the_stock_interpreter(kind, sequences, language_model, tmp_path):
    layer = LAYERS[kind](return_sequences=sequences)
    model = language_model(layer)
    prune(layer, (4, 1), 0.8)
    before = snapshot(model)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path)
    assert summary.largest_error < 1e-5
    assert summary.bytes == path.stat().st_size < summary.dense_bytes
    assert summary.sparse_tensors >= summary.computed_sparse >= 1
    assert not [name for name in summary.operators if name.startswith("CUSTOM") or "Flex" in name]
    assert 0 < summary.milliseconds_per_step < 50
    tokens = np.random.default_rng(9).integers(0, 11, (1, 13)).astype("int32")
    np.testing.assert_allclose(
        run(path, tokens=tokens)["logits"], np.asarray(model(tokens)), atol=1e-5
    )
    for old, new in zip(before, snapshot(model)):
        np.testing.assert_array_equal(old, new)
    assert "inner_loop" not in vars(layer)


def test_kernels_without_a_live_weight_and_odd_sizes(tmp_path):
    layer = keras.layers.GRU(7)
    model = randomised(keras.Sequential([keras.Input((5, 3)), layer, keras.layers.Dense(2)]))
    layer.cell.kernel.assign(np.zeros((3, 21)))
    layer.cell.recurrent_kernel.assign(np.zeros((7, 21)))
    assert export.export_litert(model, tmp_path / "model.tflite").largest_error < 1e-6


def test_bidirectional_stacked_masked_and_backwards(tmp_path):
    keras.utils.set_random_seed(0)
    tokens = keras.Input((11,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
    both = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True))
    x = both(x)
    last = keras.layers.GRU(5, go_backwards=True, reset_after=True)
    model = randomised(keras.Model(tokens, keras.layers.Dense(3, name="logits")(last(x))))
    prune(both.forward_layer, (4, 4), 0.8)
    prune(both.backward_layer, (8, 2), 0.8)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, batch_size=3)
    assert summary.largest_error < 1e-5 and summary.computed_sparse >= 2
    tokens = np.array(
        [
            [1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0],
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 3, 0, 5, 6, 7, 8, 0, 1, 2],
        ],
        "int32",
    )
    np.testing.assert_allclose(
        run(path, tokens=tokens)["logits"], np.asarray(model(tokens)), atol=1e-5
    )


def test_several_inputs_and_states_as_outputs(tmp_path):
    keras.utils.set_random_seed(0)
    features, first = keras.Input((6, 3), name="features"), keras.Input((5,), name="first")
    outputs, h, c = keras.layers.LSTM(5, return_sequences=True, return_state=True, name="lstm")(
        features, initial_state=[first, first]
    )
    inner = keras.Sequential([keras.Input((6, 5)), keras.layers.SimpleRNN(4)], name="inner")
    model = randomised(
        keras.Model({"features": features, "first": first}, [inner(outputs), h, c], name="nested")
    )
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, batch_size=2).largest_error < 1e-5
    rng = np.random.default_rng(4)
    arrays = {
        "features": rng.normal(size=(2, 6, 3)).astype("float32"),
        "first": rng.normal(size=(2, 5)).astype("float32"),
    }
    received = run(path, **arrays)
    assert set(received) == {"inner", "lstm", "lstm_1"}
    for name, expected in zip(["inner", "lstm", "lstm_1"], model(arrays)):
        np.testing.assert_allclose(received[name], np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("block_shape", [(4, 1), (1, 16)])
def test_batch_and_steps_can_be_left_open(block_shape, tmp_path):
    keras.utils.set_random_seed(0)
    layer = keras.layers.LSTM(32, return_sequences=True)
    model = randomised(
        keras.Sequential(
            [keras.Input((None, 8), name="features"), layer, keras.layers.Dense(2, name="out")]
        )
    )
    prune(layer, block_shape, 0.9)
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, batch_size="dynamic", steps="dynamic")
    assert summary.timed == "one inference of 100 steps, batch 1, 1 thread"
    interpreter = export.Interpreter(path)
    for shape in [(1, 4, 8), (3, 9, 8), (2, 1, 8)]:
        features = np.random.default_rng(1).normal(size=shape).astype("float32")
        np.testing.assert_allclose(
            interpreter(features=features)["out"], np.asarray(model(features)), atol=1e-5
        )


def test_a_stateful_layer_goes_on_where_it_was(tmp_path):
    keras.utils.set_random_seed(0)
    layer = keras.layers.GRU(6, stateful=True)
    model = randomised(
        keras.Sequential(
            [
                keras.Input((1, 3), batch_size=2, name="features"),
                layer,
                keras.layers.Dense(2, name="out"),
            ]
        )
    )
    model(np.ones((2, 1, 3), "float32"))
    before = layer.states[0].numpy().copy()
    path = tmp_path / "model.tflite"
    export.export_litert(model, path)
    np.testing.assert_array_equal(before, layer.states[0].numpy().copy())
    interpreter = export.Interpreter(path)
    inputs = np.random.default_rng(0).normal(size=(4, 2, 1, 3)).astype("float32")
    for _ in range(2):
        layer.reset_states()
        for each in inputs:
            np.testing.assert_allclose(
                interpreter(features=each)["out"], np.asarray(model(each)), atol=1e-5
            )
        interpreter.reset_states()


def test_mixed_precision_is_exported_in_float32_and_the_model_keeps_its_policy(tmp_path):
    layer = keras.layers.LSTM(8, dtype="mixed_float16")
    model = randomised(
        keras.Sequential([keras.Input((5, 3)), layer, keras.layers.Dense(2, dtype="mixed_float16")])
    )
    assert export.export_litert(model, tmp_path / "model.tflite").largest_error < 1e-5
    assert layer.dtype_policy.name == layer.cell.dtype_policy.name == "mixed_float16"


def test_other_cells_and_custom_activations(tmp_path):
    cells = [keras.layers.LSTMCell(4), keras.layers.GRUCell(5)]
    model = randomised(
        keras.Sequential(
            [
                keras.Input((6, 3)),
                keras.layers.RNN(cells, return_sequences=True),
                keras.layers.LSTM(
                    4,
                    activation=lambda x: keras.ops.tanh(x) * 0.5,
                    recurrent_activation="hard_sigmoid",
                ),
            ]
        )
    )
    assert export.export_litert(model, tmp_path / "model.tflite").largest_error < 1e-5


def test_a_fixed_length_stays_known_behind_a_layer_when_the_batch_is_open(tmp_path):
    features = keras.Input((6, 3))
    x = keras.layers.SimpleRNN(4, return_sequences=True)(features)
    model = randomised(
        keras.Model(features, keras.layers.LSTM(3, unroll=True)(x))
    )  # cannot unroll a length that is not known
    assert (
        export.export_litert(model, tmp_path / "model.tflite", batch_size="dynamic").largest_error
        < 1e-5
    )


def test_everything_open_and_masked(tmp_path):
    tokens = keras.Input((None,), dtype="int64", name="tokens")
    x = keras.layers.Embedding(5, 4, mask_zero=True)(tokens)
    model = randomised(keras.Model(tokens, keras.layers.GRU(4, name="state")(x)))
    path = tmp_path / "model.tflite"
    assert export.export_litert(model, path, batch_size="dynamic").largest_error < 1e-5
    tokens = np.array([[1, 2, 0, 3, 0, 0, 0], [0, 0, 4, 1, 1, 2, 3]], "int64")
    np.testing.assert_allclose(
        run(path, tokens=tokens)["state"], np.asarray(model(tokens)), atol=1e-5
    )


def test_a_compiled_model_trains_on_after_its_export(tmp_path):
    model = randomised(
        keras.Sequential([keras.Input((5, 3)), keras.layers.SimpleRNN(4), keras.layers.Dense(1)])
    )
    model.compile("adam", "mse")
    data = (
        np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32"),
        np.zeros((4, 1), "float32"),
    )
    model.fit(*data, verbose=0)
    optimizer, iterations = model.optimizer, int(model.optimizer.iterations)
    export.export_litert(model, tmp_path / "model.tflite")
    assert model.optimizer is optimizer and int(optimizer.iterations) == iterations
    model.fit(*data, verbose=0)
    assert int(optimizer.iterations) == iterations + 1


def test_nothing_is_printed(capfd, tmp_path):
    model = randomised(keras.Sequential([keras.Input((2, 3)), keras.layers.SimpleRNN(4)]))
    export.export_litert(model, tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")


def test_block_sparse_layers_are_exported_as_the_keras_layers_they_stand_for(tmp_path):
    from keras_sparse_rnn.substitution import substitute

    layer = keras.layers.LSTM(16, name="lstm")
    model = randomised(
        keras.Sequential(
            [keras.Input((5, 8), name="features"), layer, keras.layers.Dense(2, name="out")]
        )
    )
    prune(layer, (4, 4), 0.8)
    sparse = substitute(model, block_shape=(4, 4))
    assert type(sparse.layers[0]).__name__ == "BlockSparseLSTM"
    summary = export.export_litert(sparse, tmp_path / "model.tflite")
    assert summary.computed_sparse == 2
    features = np.random.default_rng(0).normal(size=(1, 5, 8)).astype("float32")
    np.testing.assert_allclose(
        run(summary.path, features=features)["out"], np.asarray(model(features)), atol=1e-5
    )


def test_the_inputs_of_a_subclassed_model_may_be_described(tmp_path):
    class Tagger(keras.Model):
        def __init__(self):
            super().__init__(name="tagger")
            self.embedding = keras.layers.Embedding(7, 4)
            self.recurrent = [keras.layers.SimpleRNN(5, return_sequences=True)]
            self.head = keras.layers.Dense(2)

        def call(self, inputs):
            return {"tags": self.head(self.recurrent[0](self.embedding(inputs)))}

    model = Tagger()
    model(np.zeros((1, 6), "int32"))
    signature = keras.KerasTensor((None, 6), "int32", name="words")
    assert (
        export.export_litert(
            model, tmp_path / "model.tflite", input_signature=signature
        ).largest_error
        < 1e-5
    )
    assert set(run(tmp_path / "model.tflite", words=np.ones((1, 6), "int32"))) == {"output_0"}
