import keras
import numpy as np
import pytest

from keras_sparse_rnn.export import export_c


def randomised(model, seed=0):
    """`model` with random weights everywhere."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" not in variable.path:
            size = 0.5 / np.sqrt(variable.shape[0])
            variable.assign(np.abs(rng.normal(size=variable.shape) * size) + 0.01)
    return model


@pytest.fixture(scope="session")
def two_inputs():
    """Tokens and numbers in; a sequence and a verdict out."""
    K = keras.layers
    tokens, x = keras.Input((None,), dtype="int32", name="tokens"), keras.Input((None, 3), name="x")
    both = K.Concatenate()([K.Embedding(7, 5)(tokens), x])
    convolved = K.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(both)
    h = K.GRU(12, return_sequences=True)(convolved)
    verdict = K.Dense(4, activation="softmax", name="verdict")(K.LSTM(9)(h))
    return randomised(keras.Model([tokens, x], [h, verdict], name="two"))


@pytest.fixture(scope="session")
def chain():
    """One input, one output."""
    layers = [keras.layers.LSTM(20, return_sequences=True), keras.layers.Dense(3)]
    return randomised(keras.Sequential([keras.Input((None, 6), name="x"), *layers]))


@pytest.fixture(scope="session")
def files(tmp_path_factory, two_inputs, chain):
    """The files of both models, exported where there is no compiler."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", "/nonexistent/cc")
        metadata = {"sample_rate": 16000, "labels": ["yes", "no"]}
        summary = export_c(two_inputs, folder / "two", metadata=metadata)
        export_c(chain, folder / "chain")
    assert summary.compiler is None and summary.largest_error < 1e-5
    return {name: folder / name / "model.ksr" for name in ("two", "chain")}
