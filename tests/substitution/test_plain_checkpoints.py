"""Training in masked storage leaves plain Keras checkpoints."""

import keras
import numpy as np

from keras_sparse_rnn import callbacks, schedules
from keras_sparse_rnn.layers import BlockSparseLSTM
from keras_sparse_rnn.substitution import substitute, to_dense

SYMBOLS, TIME, UNITS = 11, 6, 32


def plain_model():
    """What somebody without this package would build."""
    return keras.Sequential(
        [
            keras.Input((TIME,), dtype="int32"),
            keras.layers.Embedding(SYMBOLS, 16),
            keras.layers.Bidirectional(keras.layers.LSTM(UNITS, return_sequences=True)),
            keras.layers.GRU(UNITS, name="gru"),
            keras.layers.Dense(SYMBOLS),
        ]
    )


def test_weights_trained_in_masked_storage_load_into_the_keras_model(tmp_path):
    keras.utils.set_random_seed(0)
    model = substitute(plain_model(), (8, 8), storage="masked")
    assert isinstance(model.layers[1].forward_layer, BlockSparseLSTM)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).integers(0, SYMBOLS, (24, TIME))
    pruning = callbacks.BlockPruning(
        schedules.PolynomialDecay(0.0, 0.75, 2, 9), block_shape=(8, 8), frequency=2
    )
    model.fit(x, x[:, 0], batch_size=4, epochs=2, verbose=0, callbacks=[pruning])

    to_dense(model).save_weights(tmp_path / "pruned.weights.h5")
    to_dense(model).save(tmp_path / "pruned.keras")
    plain = plain_model()
    plain.load_weights(tmp_path / "pruned.weights.h5")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    expected = model.predict(x, verbose=0)
    for one in (plain, loaded):
        assert (
            type(one.layers[1].forward_layer) is keras.layers.LSTM
            and type(one.layers[2]) is keras.layers.GRU
        )
        assert all(
            np.array_equal(a, b)
            for a, b in zip(one.get_weights(), model.get_weights(), strict=True)
        )
        np.testing.assert_allclose(one.predict(x, verbose=0), expected, rtol=0, atol=3e-6)
        kernels = [
            one.layers[1].forward_layer.cell,
            one.layers[1].backward_layer.cell,
            one.layers[2].cell,
        ]
        for kernel in (
            variable.numpy()
            for cell in kernels
            for variable in (cell.kernel, cell.recurrent_kernel)
        ):
            assert 0.7 < np.mean(kernel == 0) < 0.8
