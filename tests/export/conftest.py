import keras
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import integers


@pytest.fixture
def language_model():
    """Builds Embedding, recurrent layer, Dense."""

    def build(layer, vocabulary=11, features=8, steps=13, **embedding):
        keras.utils.set_random_seed(0)
        return randomised(
            keras.Sequential(
                [
                    keras.Input((steps,), dtype="int32", name="tokens"),
                    keras.layers.Embedding(vocabulary, features, **embedding),
                    layer,
                    keras.layers.Dense(5, name="logits"),
                ],
                name="language_model",
            )
        )

    return build


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A file with sparse weights of every kind: blocks, gathered and densified."""
    recurrent = [
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.GRU(16, return_sequences=True),
        keras.layers.SimpleRNN(20),
    ]
    model = randomised(
        keras.Sequential([keras.Input((3, 12), name="x"), *recurrent, keras.layers.Dense(2)])
    )
    for layer, block_shape, sparsity in zip(recurrent, [(4, 1), (1, 8), (1, 1)], [0.85, 0.85, 0.7]):
        prune(layer, block_shape, sparsity)
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    summary = export.export_litert(model, path)
    assert 0 < summary.computed_sparse < summary.sparse_tensors
    return path


@pytest.fixture(scope="session")
def exported_integers(tmp_path_factory):
    """A file with int8 weights for the sparse kernel, blocks and gathered."""
    layers = [keras.layers.LSTM(32, return_sequences=True), keras.layers.GRU(32)]
    model = randomised(keras.Sequential([keras.Input((3, 48), name="x"), *layers]))
    for layer, block_shape in zip(layers, [(16, 16), (1, 16)]):
        prune(layer, block_shape, 0.8)
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integers, "DENSE_CALL", 1e9)  # or so small a matrix would be dense
        patch.setattr(integers, "GATHERED_INPUT", 0)
        summary = export.export_litert(model, path, weights="int8", streaming=True)
    assert "GATHER" in summary.operators and summary.computed_sparse == 4
    return path
