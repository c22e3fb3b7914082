"""What comes after pruning, for a model in which two of every four inputs live."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.patterns import NofM

X = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    layers = [keras.layers.GRU(16, name="rnn"), keras.layers.Dense(2)]
    return ksr.prune(keras.Sequential([keras.Input((5, 8)), *layers]), pattern=NofM(2, 4))


def test_the_report_says_half_and_promises_nothing(model):
    report = ksr.report(model, console=False)
    for row in report.rows[:2]:
        assert row.sparsity == 0.5 and row.block_shape is None
        assert row.bytes == row.dense_bytes and row.multiply_adds == row.dense_multiply_adds


def test_substitution_leaves_it_dense_with_a_warning_and_takes_single_weights_if_asked(model):
    with pytest.warns(UserWarning) as warned:
        left = ksr.substitute(model)
    assert str(warned[0].message) == (
        "substitute: no block of any common shape is zero in 'rnn': left as it is, for nothing "
        "would be gained. Prune it first."
    )
    assert type(left.get_layer("rnn")) is keras.layers.GRU
    sparse = ksr.substitute(model, (1, 1))
    np.testing.assert_allclose(sparse(X), model(X), atol=1e-6)
    assert ksr.report(sparse, console=False).rows[0].sparsity == 0.5


def test_a_saved_model_has_it_still(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    kernel = loaded.get_layer("rnn").cell.recurrent_kernel.numpy()
    np.testing.assert_array_equal(NofM(2, 4).unpack(*NofM(2, 4).pack(kernel)), kernel)
    np.testing.assert_array_equal(loaded(X), model(X))
