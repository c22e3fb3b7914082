"""Block-sparse layers are exported as the Keras layers they stand for, wherever they are, and stay
as they are in the model.
"""

import keras
import numpy as np
import pytest
from pruned_models import randomised, snapshot

import keras_sparse_rnn as ksr
from keras_sparse_rnn import export, layers


class Tagger(keras.Model):
    """A subclassed model: no layer of it can be replaced by another one."""

    def __init__(self, recurrent, head):
        super().__init__(name="tagger")
        # of the same policy, for Keras before 3.14 loses a mask where it casts
        policy = recurrent.dtype_policy
        self.embedding = keras.layers.Embedding(7, 12, mask_zero=True, dtype=policy)
        self.recurrent = recurrent
        self.head = head

    def call(self, inputs):
        return self.head(self.recurrent(self.embedding(inputs)))


def lstm(**options):
    return layers.BlockSparseLSTM(20, (4, 4), sparsity=0.85, return_sequences=True, **options)


CASES = {
    "packed LSTM": lambda: (lstm(), keras.layers.Dense(3)),
    "packed LSTM without bias": lambda: (lstm(use_bias=False), keras.layers.Dense(3)),
    "masked LSTM": lambda: (lstm(storage="masked"), keras.layers.Dense(3)),
    "packed Dense": lambda: (
        keras.layers.LSTM(20, return_sequences=True),
        layers.BlockSparseDense(11, (4, 3), sparsity=0.85, activation="tanh"),
    ),
    "masked Dense": lambda: (
        keras.layers.SimpleRNN(20),
        layers.BlockSparseDense(16, (4, 4), sparsity=0.9, storage="masked", use_bias=False),
    ),
    "both, wrapped": lambda: (
        keras.layers.Bidirectional(
            layers.BlockSparseGRU(12, (4, 1), sparsity=0.85, return_sequences=True)
        ),
        keras.layers.TimeDistributed(layers.BlockSparseDense(8, (4, 4), sparsity=0.8)),
    ),
    "simple": lambda: (
        layers.BlockSparseSimpleRNN(20, (4, 4), sparsity=0.9, activation="relu"),
        keras.layers.Dense(3),
    ),
    "mixed precision": lambda: (
        lstm(dtype="mixed_float16"),
        layers.BlockSparseDense(5, (4, 5), sparsity=0.8, dtype="mixed_float16"),
    ),
}


SLOW = "packed LSTM without bias", "masked LSTM", "packed Dense"


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in CASES]
)
@pytest.mark.quick_cases
def test_in_a_subclassed_model(case, tmp_path):
    keras.utils.set_random_seed(0)
    model = Tagger(*CASES[case]())
    tokens = np.random.default_rng(5).integers(0, 7, (2, 9)).astype("int32")
    model(tokens)
    randomised(model)
    for variable in model.variables:
        if variable.name == "kernel" and "masked" in case:
            variable.assign(variable * (np.random.default_rng(1).random(variable.shape) < 0.2))
    before = snapshot(model)
    attributes = [set(vars(layer)) for layer in model._flatten_layers()]
    path = tmp_path / "model.tflite"
    summary = export.export_litert(
        model,
        path,
        batch_size=2,
        input_signature=keras.KerasTensor((None, 9), "int32", name="tokens"),
    )
    assert summary.largest_error < 1e-5
    assert summary.sparse_tensors >= 1
    assert not [name for name in summary.operators if name.startswith("CUSTOM") or "Flex" in name]
    tolerance = 2e-2 if case == "mixed precision" else 1e-5
    received = export.Interpreter(path)(tokens=tokens)["output_0"]
    np.testing.assert_allclose(
        received, np.asarray(model(tokens)).astype("float32"), atol=tolerance
    )
    for old, new in zip(before, snapshot(model)):
        np.testing.assert_array_equal(old, new)
    assert attributes == [set(vars(layer)) for layer in model._flatten_layers()]


def test_int8_weights_and_activations_are_exported_in_float32(tmp_path):
    """The file has the weights that the bytes stand for, and rounds nothing."""
    keras.utils.set_random_seed(0)
    int8 = {"weights": "int8", "activations": "int8"}
    model = keras.Sequential(
        [
            keras.Input((9, 12), batch_size=2, name="x"),
            layers.BlockSparseSimpleRNN(
                20, (4, 4), sparsity=0.4, return_sequences=True, input_range=3.0, **int8
            ),
            layers.BlockSparseDense(8, (4, 4), sparsity=0.4, **int8),
        ]
    )
    config, path = model.get_config(), tmp_path / "model.tflite"
    summary = export.export_litert(model, path)
    assert summary.largest_error < 1e-5
    assert model.get_config() == config
    x = np.random.default_rng(0).normal(size=(2, 9, 12)).astype("float32")
    (received,) = export.Interpreter(path)(x=x).values()
    plain = ksr.to_dense(model)
    np.testing.assert_allclose(received, plain(x), atol=1e-5)
    assert 1e-5 < np.abs(received - model(x)).max() < 0.05


def test_dead_blocks_are_not_in_the_file(tmp_path):
    keras.utils.set_random_seed(0)
    model = Tagger(lstm(), keras.layers.Dense(3))
    model(np.ones((1, 9), "int32"))
    randomised(model)
    signature = keras.KerasTensor((None, 9), "int32")
    summary = export.export_litert(model, tmp_path / "model.tflite", input_signature=signature)
    assert (summary.sparse_tensors, summary.computed_sparse) == (2, 2)
