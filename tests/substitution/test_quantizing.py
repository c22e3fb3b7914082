"""`substitute(model, weights=...)`: a trained model becomes one that predicts nearly the same from
fewer bytes.
"""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn import patterns

BLOCK = (4, 4)
types = pytest.mark.parametrize("weights, tolerance", [("bfloat16", 0.01), ("int8", 0.02)])


def pruned_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((7, 9)),
            keras.layers.Bidirectional(keras.layers.LSTM(19, return_sequences=True)),
            keras.layers.GRU(17, return_sequences=True),
            keras.layers.SimpleRNN(16),
            keras.layers.Dense(8),
        ]
    )
    block = patterns.Block(BLOCK)
    for layer, gates in (
        (model.layers[0].forward_layer, 4),
        (model.layers[0].backward_layer, 4),
        (model.layers[1], 3),
        (model.layers[2], 1),
        (model.layers[3], 1),
    ):
        new = []
        for array in layer.get_weights():
            if array.ndim == 2 and array.shape[0] > 2:
                grid = block.grid(array.shape, gates)
                array = array * grid.expand(block.keep(grid, array, sparsity=0.5))
            new.append(array)
        layer.set_weights(new)
    return model


def inputs():
    return np.random.default_rng(0).normal(size=(5, 7, 9)).astype("float32")


@types
def test_predictions_stay_near(weights, tolerance):
    model = pruned_model()
    expected = model(inputs()).numpy()
    sparse = ksr.substitute(model, BLOCK, dense=True, weights=weights)
    error = np.abs(sparse(inputs()) - expected).max()
    assert 0 < error < tolerance * np.abs(expected).max()
    assert all(layer.weights_choice == weights for layer in sparse.layers[1:])
    assert all(
        variable.dtype == weights
        for variable in sparse.variables
        if variable.name.endswith("_values")
    )


@types
@pytest.mark.quick_cases
def test_to_dense_gives_the_dequantised_model(weights, tolerance):
    sparse = ksr.substitute(pruned_model(), BLOCK, dense=True, weights=weights)
    dense = ksr.to_dense(sparse)
    np.testing.assert_allclose(dense(inputs()), sparse(inputs()), atol=1e-5)
    assert [type(layer) for layer in dense.layers] == [
        type(layer) for layer in pruned_model().layers
    ]
    assert len(dense.trainable_variables) == len(pruned_model().trainable_variables)
    # Back to float, and quantised once more, it is what it was.
    again = ksr.substitute(ksr.substitute(sparse, weights="float32"), weights=weights)
    np.testing.assert_allclose(again(inputs()), sparse(inputs()), atol=1e-5)


def test_a_compiled_and_trained_model():
    whole = pruned_model()
    model = keras.Sequential([keras.Input((7, 17)), *whole.layers[2:]])
    x = np.random.default_rng(0).normal(size=(5, 7, 17)).astype("float32")
    model.compile(keras.optimizers.Adam(0.001), "mse", metrics=["mae"])
    model.fit(x, np.ones((5, 8)), verbose=0)
    float_model = ksr.substitute(model, BLOCK, storage="masked")
    quantized = ksr.substitute(float_model, BLOCK, weights="int8")
    expected, got = (one.evaluate(x, np.ones((5, 8)), verbose=0) for one in (model, quantized))
    np.testing.assert_allclose(got, expected, rtol=0.02)
    back = ksr.to_dense(quantized)
    back.fit(x, np.ones((5, 8)), verbose=0)
    assert back.optimizer.iterations.numpy() == 1


def test_report_counts_the_bytes_held():
    model = pruned_model()
    rows = {
        weights: ksr.report(ksr.substitute(model, BLOCK, weights=weights), console=False).rows
        for weights in ("float32", "bfloat16", "int8")
    }
    for float_row, half, quarter in zip(*rows.values()):
        if not float_row.block_sparse:
            continue
        live = float_row.multiply_adds
        numbers = float_row.bytes - 4 * live
        assert half.bytes == 2 * live + numbers
        assert live + numbers < quarter.bytes <= live + numbers + 4 * 4 * 20
        assert float_row.dense_bytes == half.dense_bytes == quarter.dense_bytes


def test_masked_storage_is_refused():
    with pytest.raises(ValueError, match='`weights` must be "float32" with `storage="masked"`'):
        ksr.substitute(pruned_model(), BLOCK, storage="masked", weights="int8")
