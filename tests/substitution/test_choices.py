"""What is substituted, in which block shape, and what is left as it is and reported."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from pruning import data, largest_difference, lstm_model, prune

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import BlockSparseDense, BlockSparseGRU, BlockSparseLSTM
from keras_sparse_rnn.patterns import Block
from keras_sparse_rnn.substitution import substitute, to_dense
from keras_sparse_rnn.substitution.block_shapes import RELATIVE_COST, best_block_shape


@pytest.mark.parametrize("block_shape", RELATIVE_COST)
def test_finds_the_block_shape_of_the_zeros(block_shape):
    model = prune(lstm_model(64, 64), block_shape, 0.9)
    layer = substitute(model).get_layer("it")
    assert layer.block_shape == block_shape
    assert (layer.recurrent_block_shape or layer.block_shape) == block_shape


def test_each_kernel_has_its_own_block_shape():
    model = prune(lstm_model(), (1, 16), 0.9)
    kernel, recurrent_kernel, bias = model.layers[0].get_weights()
    grid = Block((16, 16)).grid(recurrent_kernel.shape, 4)
    dense = np.random.default_rng(0).normal(size=recurrent_kernel.shape)
    model.layers[0].set_weights(
        [kernel, dense * grid.expand(Block((16, 16)).keep(grid, dense, 0.5)), bias]
    )
    sparse = substitute(model)
    assert (sparse.layers[0].block_shape, sparse.layers[0].recurrent_block_shape) == (
        (1, 16),
        (16, 16),
    )
    assert largest_difference(model(data(model)), sparse(data(model))) < 1e-5
    assert substitute(sparse).layers[0].recurrent_block_shape == (16, 16)
    assert substitute(sparse, (8, 8)).layers[0].recurrent_block_shape is None


@pytest.mark.parametrize(
    "shape, gates, expected", [((3, 4), 4, (1, 1)), ((5, 9), 3, (4, 1)), ((1, 36), 4, (1, 8))]
)
def test_block_shapes_that_do_not_fit_are_not_chosen(shape, gates, expected):
    assert best_block_shape(np.ones(shape), gates) == expected


def test_small_layers_are_substituted_too():
    model = prune(keras.Sequential([keras.Input((4, 2)), layers.GRU(3)]), (1, 1), 0.7)
    sparse = substitute(model)
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6


def test_layers_without_zero_blocks_are_left_and_named():
    model = prune(
        keras.Sequential(
            [
                keras.Input((4, 8)),
                layers.LSTM(8, return_sequences=True, name="full"),
                layers.GRU(8, name="half"),
            ]
        )
    )
    model.get_layer("full").set_weights(
        [np.ones_like(weight) for weight in model.get_layer("full").get_weights()]
    )
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model)
    assert [str(one.message) for one in warned] == [
        "substitute: no block of any common shape is zero in 'full': left as it is, for nothing "
        "would be gained. Prune it first."
    ]
    assert [type(layer) for layer in sparse.layers] == [layers.LSTM, BlockSparseGRU]
    with pytest.warns(UserWarning, match=r"no block of \(2, 2\) is zero in 'full'"):
        substitute(model, (2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(substitute(model, (2, 2), storage="masked").layers[0]) is BlockSparseLSTM


def test_what_cannot_be_substituted_is_left_and_named():
    class Encoder(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.LSTM(6, name="hidden")

        def call(self, x):
            return self.inner(x)

    class Own(layers.GRU):
        pass

    x = keras.Input((4, 8))
    cells = [layers.LSTMCell(5, name="lstm_cell"), layers.GRUCell(4, name="gru_cell")]
    stacked = layers.RNN(cells, name="cells")(x)
    images = layers.ConvLSTM1D(2, 3, name="conv", return_sequences=True)(
        keras.ops.expand_dims(x, -1)
    )
    outputs = [
        layers.LSTM(8, name="plain")(x),
        stacked,
        images,
        Encoder(name="custom")(x),
        Own(3, name="own")(x),
    ]
    model = prune(keras.Model(x, outputs))
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model, (4, 4))
    assert [str(one.message) for one in warned] == [
        "substitute: no block of (4, 4) is zero in 'lstm_cell', 'gru_cell': left as it is, for "
        "nothing would be gained. Prune it first.",
        "substitute: only keras.layers.LSTM, GRU and SimpleRNN, and their cells, can be "
        "substituted: 'conv' (ConvLSTM1D), 'own' (Own) left as it is.",
        f"substitute: a Keras file of {model.name!r} cannot be loaded again: the layers that "
        "Encoder makes then are Keras's. `to_dense(model)` before `save`, or save the weights only "
        "(`save_weights`; `ModelCheckpoint` with `save_weights_only=True`).",
    ]
    assert type(sparse.get_layer("custom").inner) is BlockSparseLSTM
    assert type(sparse.get_layer("plain")) is BlockSparseLSTM
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6


def test_dense_layers_are_substituted_when_asked():
    model = prune(lstm_model())
    kernel, bias = model.get_layer("head").get_weights()
    kernel[:16] = 0
    model.get_layer("head").set_weights([kernel, bias])
    assert type(substitute(model).get_layer("head")) is layers.Dense
    sparse = substitute(model, dense=True)
    assert type(sparse.get_layer("head")) is BlockSparseDense
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6
    assert largest_difference(model.get_weights(), to_dense(sparse).get_weights()) == 0.0


def test_one_small_layer_among_large_ones_has_smaller_blocks(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4, 32)),
            layers.LSTM(32, return_sequences=True, name="large"),
            layers.GRU(8, return_sequences=True, name="small"),
            layers.Bidirectional(layers.LSTM(4), name="smaller"),
        ]
    )
    model = prune(model, (16, 4))
    for one in model._flatten_layers():
        if one.name in ("small", "forward_smaller", "backward_smaller"):
            one.cell.kernel.assign(
                one.cell.kernel * (np.arange(one.cell.kernel.shape[0]) >= 16)[:, None]
            )
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model, (16, 16), storage="masked")
    forward = sparse.get_layer("smaller").forward_layer
    assert [str(one.message) for one in warned] == [
        f"substitute: blocks of (16, 16) are larger than 'small', {forward.name!r}, "
        f"{forward.name.replace('forward', 'backward')!r}: cut to the size of the kernels there."
    ]
    small = sparse.get_layer("small")
    assert (small.block_shape, small.recurrent_block_shape) == ((16, 8), (8, 8))
    assert (forward.block_shape, forward.recurrent_block_shape) == ((16, 4), (4, 4))
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6
    sparse.save(tmp_path / "sparse.keras")
    again = keras.models.load_model(tmp_path / "sparse.keras")
    assert largest_difference(sparse(data(model)), again(data(model))) == 0.0


@pytest.mark.skipif(not ops.native_available(), reason="everything runs on the reference")
def test_layers_that_only_the_reference_runs_are_left_and_named_with_the_reason():
    x = keras.Input((4, 8))
    outputs = [
        layers.LSTM(8, name="plain")(x),
        layers.GRU(8, activation="elu", name="elu")(x),
        layers.LSTM(8, recurrent_activation="hard_sigmoid", name="hard")(x),
        layers.SimpleRNN(8, dtype="float64", name="double")(x),
        layers.LSTM(8, recurrent_dropout=0.1, name="dropping")(x),
    ]
    model = prune(keras.Model(x, outputs))
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model, (4, 4))
    elu, hard = model.get_layer("elu"), model.get_layer("hard")
    assert [str(one.message) for one in warned] == [
        "substitute: plain TensorFlow would have to run these layers, and nothing would be gained: "
        f"'elu' (the native gru op knows activation 'tanh', not {elu.activation!r}); 'hard' (the "
        "native lstm op knows recurrent_activation 'sigmoid', not "
        f"{hard.recurrent_activation!r}); 'double' (the native ops compute float32, float16, "
        'bfloat16, not float64). Left as they are; `kernel="reference"` swaps them all the same.',
        "substitute: 'dropping' with dropout between time steps (`recurrent_dropout`, or `dropout` "
        "with `implementation=1`) predicts fast, but trains in Keras's own loop over time.",
    ]
    kinds = [type(layer).__name__ for layer in sparse.layers[1:]]
    assert kinds == ["BlockSparseLSTM", "GRU", "LSTM", "SimpleRNN", "BlockSparseLSTM"]
    for options in ({"kernel": "reference"}, {"storage": "masked"}):
        asked = substitute(model, (4, 4), **options)
        assert all(type(layer).__name__.startswith("Block") for layer in asked.layers[1:])


def test_options_reach_the_layers():
    layer = substitute(prune(lstm_model()), (8, 4), "masked", "reference").get_layer("it")
    assert (layer.block_shape, layer.storage, layer.kernel_choice) == (
        (8, 4),
        "masked",
        "reference",
    )


def test_to_dense_of_a_plain_model_is_a_copy():
    model = prune(lstm_model())
    copy = to_dense(model)
    assert copy is not model and largest_difference(copy.get_weights(), model.get_weights()) == 0.0


def test_weights_files_of_the_original_fit_the_dense_model(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model = prune(lstm_model())
        model.save_weights(tmp_path / "original.weights.h5")
        dense = to_dense(substitute(model))
        dense.set_weights([np.zeros_like(weight) for weight in dense.get_weights()])
        dense.load_weights(tmp_path / "original.weights.h5")
    assert largest_difference(dense.get_weights(), model.get_weights()) == 0.0


@pytest.mark.parametrize("initializer", ["zeros", keras.initializers.Identity(0.5)])
def test_a_kernel_as_it_was_initialized_is_not_pruned(initializer):
    rnn = layers.SimpleRNN(9, recurrent_initializer=initializer)
    model = keras.Sequential([keras.Input((4, 8)), rnn])
    with pytest.warns(UserWarning, match="no block of .* is zero in 'simple_rnn.*': left as it is"):
        assert type(substitute(model, (4, 4)).layers[0]) is layers.SimpleRNN
    kernel = rnn.cell.kernel.numpy()
    kernel[:4] = 0
    rnn.cell.kernel.assign(kernel)
    sparse = substitute(model, (4, 4))
    assert list(sparse.layers[0].recurrent_kernel_blocks.numpy()) == list(range(9))
    again = substitute(sparse, (8, 8))
    assert list(again.layers[0].recurrent_kernel_blocks.numpy()) == list(range(4))
    assert (
        largest_difference(
            again.predict(data(model), verbose=0), model.predict(data(model), verbose=0)
        )
        < 3e-6
    )


def test_packed_layers_keep_their_pattern_while_their_weights_are_zero():
    fresh = BlockSparseGRU(8, (4, 4), sparsity=0.5, recurrent_initializer="zeros", seed=1)
    model = keras.Sequential([keras.Input((4, 8)), fresh])
    expected = fresh.recurrent_kernel_blocks.numpy()
    np.testing.assert_array_equal(
        substitute(model).layers[0].recurrent_kernel_blocks.numpy(), expected
    )
