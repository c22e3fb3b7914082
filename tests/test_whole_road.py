"""The whole road of a user, from a Keras model through pruning and back to one.

It is short, so that it also runs on the oldest TensorFlow and Keras (`make test-oldest`).
"""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr

BLOCK, TIME, INPUTS = (4, 4), 6, 8


def zeros(layer):
    """Which weights of the two kernels of a Keras layer are zero, one bool array."""
    return np.concatenate([kernel.ravel() == 0 for kernel in layer.get_weights()[:2]])


@pytest.mark.parametrize(
    "plain, sparse, storage",
    [
        (keras.layers.LSTM, ksr.layers.BlockSparseLSTM, "packed"),
        (keras.layers.GRU, ksr.layers.BlockSparseGRU, "masked"),
        (keras.layers.SimpleRNN, ksr.layers.BlockSparseSimpleRNN, "packed"),
    ],
)
@pytest.mark.quick_cases
def test_pruned_swapped_trained_saved_loaded_exported_and_back(plain, sparse, storage, tmp_path):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(16, TIME, INPUTS)).astype("float32")
    y = x.sum(axis=(1, 2), keepdims=True)[:, 0]
    model = keras.Sequential(
        [keras.Input((TIME, INPUTS), name="x"), plain(24), keras.layers.Dense(1, name="y")]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    schedule = ksr.schedules.PolynomialDecay(0.0, 0.75, begin_step=1, end_step=4)
    pruning = ksr.callbacks.BlockPruning(schedule, BLOCK, frequency=1)
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[pruning]).history
    assert history["sparsity"][-1] == 0.75
    pruned = zeros(model.layers[0])
    assert pruned.mean() == 0.75

    swapped = ksr.substitute(model, BLOCK, storage=storage)
    assert type(swapped.layers[0]) is sparse
    np.testing.assert_allclose(swapped(x), model(x), atol=1e-5)
    before = swapped.evaluate(x, y, verbose=0)
    swapped.fit(x, y, batch_size=4, epochs=4, verbose=0)
    assert swapped.evaluate(x, y, verbose=0) < before
    rows = ksr.report(swapped, console=False).rows
    assert [(row.sparsity, row.block_sparse) for row in rows[:2]] == [(0.75, True)] * 2

    swapped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(swapped(x))
    np.testing.assert_array_equal(loaded(x), expected)
    assert loaded.optimizer.iterations.numpy() == 24

    summary = ksr.export.export_litert(loaded, tmp_path / "model.tflite", batch_size=1)
    assert summary.sparse_tensors == 2 and summary.largest_error < 1e-5
    interpreter = ksr.export.Interpreter(tmp_path / "model.tflite")
    np.testing.assert_allclose(interpreter(x=x[:1])["y"], expected[:1], atol=1e-5)

    back = ksr.to_dense(loaded)
    assert type(back.layers[0]) is plain
    np.testing.assert_array_equal(zeros(back.layers[0]), pruned)
    np.testing.assert_allclose(back(x), expected, atol=1e-5)
