"""Constructor arguments: those of Keras, ours, and what is refused."""

import inspect

import keras
import numpy as np
import pytest

from keras_sparse_rnn import layers

PARENTS = {
    layers.BlockSparseLSTM: keras.layers.LSTM,
    layers.BlockSparseGRU: keras.layers.GRU,
    layers.BlockSparseSimpleRNN: keras.layers.SimpleRNN,
    layers.BlockSparseDense: keras.layers.Dense,
}
RECURRENT = list(PARENTS)[:3]


@pytest.mark.parametrize("layer, parent", PARENTS.items())
def test_takes_every_argument_of_its_parent_with_the_same_default(layer, parent):
    own = dict(inspect.signature(layer).parameters)
    for name, parameter in inspect.signature(parent).parameters.items():
        assert own.pop(name).default == parameter.default
    extra = {
        "block_shape": (16, 16),
        "sparsity": 0.0,
        "storage": "packed",
        "kernel": "auto",
        "live_blocks": None,
        "weights": "float32",
        "activations": "float32",
        "input_range": 0.0,
        "low_precision": None,
    }
    if parent is not keras.layers.Dense:
        extra.update(
            recurrent_block_shape=None,
            recurrent_pattern=None,
            recurrent_sparsity=None,
            keep_diagonal=False,
        )
    assert {name: parameter.default for name, parameter in own.items()} == extra
    assert list(inspect.signature(layer).parameters)[:2] == ["units", "block_shape"]


@pytest.mark.parametrize("layer", PARENTS)
def test_every_argument_stands_in_the_config(layer):
    config = layer(32, (4, 4), kernel="reference").get_config()
    # Keras's Layer writes an activity regularizer, and Dense its LoRA, only when there is one.
    optional = {"kwargs", "lora_rank", "lora_alpha", "activity_regularizer"}
    assert set(inspect.signature(layer).parameters) - set(config) <= optional
    assert config["block_shape"] == (4, 4) and config["kernel"] == "reference"
    again = layer.from_config(config).get_config()
    assert again == config


def test_keras_refuses_unknown_arguments():
    with pytest.raises(
        ValueError, match="Unrecognized keyword arguments passed to BlockSparseLSTM: {'unit': 3}"
    ):
        layers.BlockSparseLSTM(32, unit=3)


REFUSED = [
    (
        {"block_shape": (0, 4)},
        "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
        "block_shape=(0, 4)",
    ),
    (
        {"block_shape": (4, -1)},
        "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
        "block_shape=(4, -1)",
    ),
    (
        {"block_shape": 4},
        "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
        "block_shape=4",
    ),
    (
        {"recurrent_block_shape": (4, 4.0)},
        "`recurrent_block_shape` must be (rows, columns), two integers of at least 1. Received: "
        "recurrent_block_shape=(4, 4.0)",
    ),
    (
        {"sparsity": 1.0},
        "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=1.0",
    ),
    (
        {"sparsity": -0.1},
        "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=-0.1",
    ),
    (
        {"storage": "dense"},
        "`storage` must be one of 'packed', 'masked'. Received: storage='dense'",
    ),
    (
        {"kernel": "cuda"},
        "`kernel` must be one of 'auto', 'native', 'reference'. Received: kernel='cuda'",
    ),
    (
        {"live_blocks": (1,)},
        "`live_blocks` must be None or 2 integer(s) of at least 0, how many blocks of each "
        "kernel live. Received: live_blocks=(1,)",
    ),
    (
        {"live_blocks": (1, 1), "storage": "masked"},
        '`live_blocks` sizes packed weights, so it needs `storage="packed"`. Received: '
        "live_blocks=(1, 1), storage='masked'",
    ),
]


@pytest.mark.parametrize("layer", RECURRENT)
@pytest.mark.parametrize("arguments, message", REFUSED)
def test_refuses(layer, arguments, message):
    with pytest.raises(ValueError) as error:
        layer(19, **{"block_shape": (4, 4), **arguments})
    assert str(error.value) == message


def test_refuses_more_live_blocks_than_there_are():
    layer = layers.BlockSparseGRU(19, (4, 4), live_blocks=(3, 76))
    with pytest.raises(ValueError) as error:
        layer.build((None, None, 7))
    assert (
        str(error.value)
        == "`live_blocks` must not exceed the 75 blocks of the recurrent_kernel. Received: "
        "live_blocks=(3, 76)"
    )


@pytest.mark.parametrize(
    "arguments", [{"recurrent_dropout": 0.1}, {"dropout": 0.1, "implementation": 1}]
)
def test_native_refuses_dropout_between_steps(arguments):
    layer = layers.BlockSparseLSTM(19, (4, 4), kernel="native", name="it", **arguments)
    with pytest.raises(ValueError) as error:
        layer.build((None, None, 7))
    assert str(error.value) == (
        "`kernel=\"native\"` cannot be had for the layer 'it': they have no dropout between time "
        "steps (`recurrent_dropout`, or "
        '`dropout` with `implementation=1`). `kernel="auto"` would take the reference.'
    )


def test_native_refuses_activations_that_it_does_not_know():
    layer = layers.BlockSparseGRU(19, (4, 4), kernel="native", activation="elu")
    with pytest.raises(
        ValueError,
        match=(
            '`kernel="native"` cannot be had for the layer .*: the native gru op knows activation'
        ),
    ):
        layer.build((None, None, 7))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"lora_rank": 2},
            "`lora_rank` must be None: a BlockSparseDense has no dense kernel. Received: "
            "lora_rank=2",
        ),
        (
            {"dtype": "int8_from_float32"},
            "`dtype` must be a float policy for a BlockSparseDense. Received: "
            "dtype='int8_from_float32'",
        ),
    ],
)
def test_dense_refuses(arguments, message):
    with pytest.raises(ValueError) as error:
        layers.BlockSparseDense(3, **{"block_shape": (1, 1), **arguments})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("layer", RECURRENT)
@pytest.mark.parametrize(
    "arguments, cut, words",
    [
        (
            {},
            ((16, 8), (8, 8)),
            "blocks of (16, 16) are cut to (16, 8) in the kernel and (8, 8) in the recurrent "
            "kernel",
        ),
        (
            {"block_shape": (4, 16)},
            ((4, 8), None),
            "blocks of (4, 16) are cut to (4, 8) in the kernel and (4, 8) in the recurrent kernel",
        ),
        (
            {"block_shape": (16, 4), "recurrent_block_shape": (9, 4)},
            ((16, 4), (8, 4)),
            "blocks of (9, 4) are cut to (16, 4) in the kernel and (8, 4) in the recurrent kernel",
        ),
    ],
)
def test_blocks_are_cut_to_a_small_layer_with_one_warning(layer, arguments, cut, words):
    with pytest.warns(UserWarning) as warned:
        small = layer(8, **arguments, name="small")
        small.build((None, None, 5))
    assert [str(one.message) for one in warned] == [f"'small' has 8 units: its {words}."]
    assert (small.block_shape, small.recurrent_block_shape) == cut
    again = layer.from_config(small.get_config())  # warnings are errors here
    again.build((None, None, 5))
    assert [one.shape for one in again.weights] == [one.shape for one in small.weights]
    assert again.get_config() == small.get_config()


def test_blocks_are_cut_to_a_small_dense_layer_with_one_warning():
    with pytest.warns(UserWarning) as warned:
        small = layers.BlockSparseDense(3, (6, 4), name="small")
        small.build((None, 5))
    assert [str(one.message) for one in warned] == [
        "'small' has a kernel of 5 x 3: its blocks of (6, 4) are cut to (5, 3)."
    ]
    again = layers.BlockSparseDense.from_config(small.get_config())
    again.build((None, 5))
    assert again.block_shape == (5, 3) and again.get_config() == small.get_config()


def test_dense_refuses_lora_and_quantization_later():
    layer = layers.BlockSparseDense(8, (2, 2), name="it")
    layer.build((None, 5))
    with pytest.raises(
        ValueError,
        match=(
            "LoRA needs a dense kernel, which a BlockSparseDense has not. Received: the layer 'it'"
        ),
    ):
        layer.enable_lora(2)
    with pytest.raises(
        NotImplementedError,
        match="A BlockSparseDense cannot be quantized by Keras. Received: the layer 'it'",
    ):
        layer.quantize("int8")


@pytest.mark.parametrize("layer", RECURRENT)
def test_a_fresh_layer_has_the_sparsity_asked_for_in_every_gate(layer):
    made = layer(19, (4, 4), sparsity=0.6, seed=7)
    made.build((None, None, 7))
    for grid, kernel in zip(made.grids, made.dense_kernels()):
        live = grid.live(kernel).sum(axis=(1, 2))
        per_gate = grid.rows * grid.columns
        assert set(live) == {per_gate - round(0.6 * per_gate)}


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_the_pattern_follows_the_seed(storage):
    def blocks(seed):
        layer = layers.BlockSparseLSTM(19, (4, 4), sparsity=0.5, seed=seed, storage=storage)
        layer.build((None, None, 7))
        return np.concatenate(
            [grid.live(kernel).ravel() for grid, kernel in zip(layer.grids, layer.dense_kernels())]
        )

    assert np.array_equal(blocks(1), blocks(1)) and not np.array_equal(blocks(1), blocks(2))
    keras.utils.set_random_seed(3)
    first = blocks(None)
    assert not np.array_equal(first, blocks(None))
    keras.utils.set_random_seed(3)
    assert np.array_equal(first, blocks(None))


@pytest.mark.parametrize("storage, live", [("packed", 0), ("masked", 1)])
@pytest.mark.parametrize("layer", RECURRENT)
def test_all_blocks_may_be_dead_but_for_one_of_masked_storage(layer, storage, live):
    made = layer(19, (19, 19), sparsity=0.9, storage=storage, bias_initializer="ones")
    x = np.ones((2, 3, 19), "float32")
    empty = keras.Sequential([keras.Input((3, 19)), made])
    empty.compile("adam", "mse", run_eagerly=True)
    empty.fit(x, np.ones((2, 19)), verbose=0)
    assert [grid.live(kernel).sum() for grid, kernel in zip(made.grids, made.dense_kernels())] == [
        live,
        live,
    ]
