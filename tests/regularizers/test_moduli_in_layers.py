"""The penalty of moduli in layers: packed, trained, in graphs, saved and loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from lasso_by_hand import random_kernel
from own_geometry import Line, beyond_two

import keras_sparse_rnn as ksr
from keras_sparse_rnn.manifolds import Torus
from keras_sparse_rnn.regularizers import MeanL1, Moduli


def small_model(regularizer, layer=keras.layers.GRU, units=11, **options):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layer(units, recurrent_regularizer=regularizer, unroll=True, **options),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


def data():
    return np.random.default_rng(0).normal(size=(16, 2, 5)), np.zeros((16, 1))


@pytest.mark.parametrize(
    "layer, storage",
    [
        (keras.layers.LSTM, None),
        (keras.layers.SimpleRNN, None),
        (ksr.layers.BlockSparseGRU, "masked"),
        (ksr.layers.BlockSparseGRU, "packed"),
    ],
)
def test_fit_pulls_at_dear_weights(layer, storage):
    keras.utils.set_random_seed(0)
    options = {"block_shape": (4, 4), "storage": storage, "sparsity": 0.4} if storage else {}
    moduli = Moduli(Line(), beyond_two, 300.0)
    model = small_model(moduli, layer, **options)
    weights = lambda: (
        model.layers[0].dense_kernels()[1]
        if options
        else model.layers[0].cell.recurrent_kernel.numpy()
    )
    before = weights()
    model.fit(*data(), batch_size=4, epochs=2, verbose=0)
    gates = before.shape[1] // 11
    dear = np.tile(moduli.matrix(11), (1, gates)) == 1
    assert np.abs(weights()[dear]).mean() < 0.8 * np.abs(before[dear]).mean()
    assert np.abs(weights()[~dear]).mean() > 0.85 * np.abs(before[~dear]).mean()


@pytest.mark.parametrize("block_shape", [(4, 4), (3, 5), (1, 16)])
@pytest.mark.parametrize("inputs, units", [(11, 11), (7, 12)])
def test_the_penalty_of_a_packed_kernel_is_that_of_the_dense_one(inputs, units, block_shape):
    moduli = Moduli(Torus(), strength=0.3, seed=0, separate=inputs != units, gates=3)
    block = ksr.patterns.Block(block_shape)
    grid = block.grid((inputs, 3 * units), 3)
    kernel = random_kernel(inputs, 3 * units)
    kernel *= grid.expand(block.keep(grid, kernel, 0.6))
    values, blocks = grid.pack(kernel)
    packed = moduli.of_packed(tf.constant(values), tf.constant(blocks), grid)
    assert float(packed) == pytest.approx(float(moduli(kernel)), rel=1e-9)
    assert float(MeanL1(0.3).of_packed(tf.constant(values), None, grid)) == pytest.approx(
        float(MeanL1(0.3)(kernel)), rel=1e-9
    )
    assert moduli.block_mask(0.5, (2, 2)).shape == (1, -(-units // 2), -(-inputs // 2))


def test_a_masked_layer_is_trained_as_a_keras_layer_is():
    """In a graph its penalty is that of the blocks that it has packed."""
    kernels = []
    for layer in (ksr.layers.BlockSparseSimpleRNN, keras.layers.SimpleRNN):
        keras.utils.set_random_seed(0)
        options = (
            {"block_shape": (4, 4), "storage": "masked"}
            if layer is ksr.layers.BlockSparseSimpleRNN
            else {}
        )
        model = keras.Sequential(
            [
                keras.Input((2, 5)),
                layer(
                    11,
                    recurrent_regularizer=Moduli(Torus(), strength=1.0, seed=0),
                    unroll=True,
                    **options,
                ),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse")
        for one, variable in enumerate(model.weights[:3]):
            variable.assign(np.random.default_rng(one).normal(size=variable.shape))
        model.fit(*data(), batch_size=4, shuffle=False, verbose=0)
        kernels.append(model.layers[0].cell.recurrent_kernel.numpy())
    np.testing.assert_allclose(*kernels, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"seed": 3}, {}, {"permuted": True}, {"placement": "lattice", "order": "patches"}],
    ids=repr,
)
def test_a_saved_model_is_loaded_with_the_same_places(tmp_path, options):
    model = small_model(Moduli(Torus(3), beyond_two, 0.2, **options), keras.layers.SimpleRNN, 60)
    model.fit(*data(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    own, again = model.layers[0].recurrent_regularizer, loaded.layers[0].recurrent_regularizer
    assert again is not own and again.get_config() == own.get_config()
    np.testing.assert_array_equal(again.matrix(60), own.matrix(60))
    np.testing.assert_array_equal(loaded.losses, model.losses)


def test_the_matrix_is_not_written_into_graphs():
    model = small_model(Moduli(Torus()), units=200)
    concrete = tf.function(lambda: model.losses[0]).get_concrete_function()
    assert concrete.graph.as_graph_def().ByteSize() < 40_000  # R alone has 160,000 bytes
    assert float(concrete()) == pytest.approx(float(model.losses[0]))


def test_the_strength_can_change_while_it_is_compiled():
    moduli = Moduli(Torus(), strength=0.5)
    penalty = tf.function(lambda kernel: moduli(kernel))
    kernel = tf.constant(random_kernel(7, 7))
    first = float(penalty(kernel))
    moduli.strength.assign(0.25)
    assert float(penalty(kernel)) == pytest.approx(first / 2)
