"""How a fresh layer starts: which blocks live, with what weights, and that nothing dense is made on
the way.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_sparse_rnn import layers
from keras_sparse_rnn.layers.starts import initial_values, random_blocks
from keras_sparse_rnn.patterns import BlockGrid, erdos_renyi

GRID = BlockGrid(96, 64, 2, (8, 4))
INITIALIZERS = {
    "glorot_uniform": keras.initializers.GlorotUniform(1),
    "glorot_normal": keras.initializers.GlorotNormal(2),
    "he_normal": keras.initializers.HeNormal(3),
    "untruncated": keras.initializers.VarianceScaling(
        0.5, mode="fan_out", distribution="untruncated_normal", seed=4
    ),
    "orthogonal": keras.initializers.Orthogonal(2.0, 5),
    "normal": keras.initializers.RandomNormal(0.1, 0.3, 6),
    "constant": keras.initializers.Constant(0.7),
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_live_weights_are_drawn_with_the_spread_of_the_dense_kernel(name):
    initializer = INITIALIZERS[name]
    blocks = np.arange(0, GRID.count, 2, dtype=np.int32)
    drawn = np.asarray(initial_values(initializer, blocks, GRID, "float32"))
    dense = np.asarray(initializer(GRID.kernel_shape))
    assert drawn.shape == (len(blocks), 8, 4)
    assert drawn.mean() == pytest.approx(dense.mean(), abs=0.01)
    assert drawn.std() == pytest.approx(dense.std(), rel=0.06)
    if name not in ("orthogonal", "untruncated", "normal"):
        assert np.abs(drawn).max() == pytest.approx(np.abs(dense).max(), rel=0.02)


@pytest.mark.parametrize("storage, sparsity", [("masked", 0.5), ("masked", 0.0), ("packed", 0.0)])
def test_masked_kernels_and_packed_ones_without_dead_blocks_start_as_the_keras_layer(
    storage, sparsity
):
    options = {"kernel_initializer": keras.initializers.GlorotNormal(5), "seed": 1}
    made = layers.BlockSparseLSTM(19, (4, 4), sparsity=sparsity, storage=storage, **options)
    plain = keras.layers.LSTM(19, **options)
    made.build((None, None, 7)), plain.build((None, None, 7))
    kernel, wanted = made.dense_kernels()[0], plain.cell.kernel.numpy()
    assert np.array_equal(kernel, wanted * (kernel != 0)) and np.mean(kernel != 0) > 0.4
    assert np.array_equal(made.bias, plain.cell.bias)


def test_an_initializer_of_ones_own_is_asked_for_the_dense_kernel():
    class Rising(keras.initializers.GlorotUniform):
        def __call__(self, shape, dtype=None):
            return keras.ops.reshape(keras.ops.arange(shape[0] * shape[1], dtype=dtype), shape)

    blocks = np.array([3, 5, 40], np.int32)
    values = np.asarray(initial_values(Rising(), blocks, GRID, "float32"))
    dense = np.arange(96 * 128, dtype="float32").reshape(96, 128)
    assert np.array_equal(values, GRID.pack(dense, blocks)[0])


def test_the_padding_of_partial_blocks_starts_with_zeros():
    grid = BlockGrid(5, 7, 1, (4, 4))
    values = np.asarray(
        initial_values(keras.initializers.Ones(), np.array([1, 3], np.int32), grid, "float32")
    )
    assert values.sum() == 4 + 3


@pytest.mark.parametrize("block_shape", [(4, 4), (3, 5), (1, 1), (2, 7)])
def test_the_diagonal_lives_where_it_is_kept_and_counts(block_shape):
    layer = layers.BlockSparseGRU(
        19, block_shape, sparsity=0.3, recurrent_sparsity=0.6, keep_diagonal=True
    )
    layer.build((None, None, 11))
    kernel, recurrent = layer.dense_kernels()
    grid = layer.grids[1]
    live = grid.live(recurrent)
    touched = grid.live(np.tile(np.eye(19), (1, 3)))
    assert np.array_equal(np.flatnonzero(touched), grid.diagonal)
    assert live[touched].all()
    per_gate = grid.columns * grid.rows
    assert set(live.sum(axis=(1, 2))) == {per_gate - round(0.6 * per_gate)}
    assert set(layer.grids[0].live(kernel).sum(axis=(1, 2))) == {
        layer.grids[0].count // 3 - round(0.3 * (layer.grids[0].count // 3))
    }


def test_a_sparsity_that_leaves_no_room_for_the_diagonal_is_refused():
    layer = layers.BlockSparseSimpleRNN(16, (4, 4), sparsity=0.8, keep_diagonal=True)
    with pytest.raises(ValueError) as error:
        layer.build((None, None, 4))
    assert str(error.value) == (
        "`keep_diagonal` keeps 4 of the 16 blocks of a gate, more than live. Received: 3 live "
        "blocks in a gate; lower the sparsity, or take smaller blocks"
    )


@pytest.mark.parametrize("density", [0.01, 0.5, 0.97])
def test_all_blocks_are_equally_likely(density):
    grid = BlockGrid(10, 10, 2, (1, 1))
    count = round(grid.count * density)
    hits = np.zeros(grid.count)
    for seed in range(300):
        blocks = random_blocks(grid, count, seed)
        assert np.all(np.diff(blocks) > 0) and len(blocks) == count
        hits[blocks] += 1
    spread = np.sqrt(density * (1 - density) / 300)
    assert np.abs(hits / 300 - density).max() < 5 * spread


def test_erdos_renyi_gives_each_kernel_links_by_its_inputs_and_units():
    shapes = [(40, 60, 4), (60, 60, 4), (60, 7)]
    sparsities = erdos_renyi(0.9, shapes)
    weights = [4 * 40 * 60, 4 * 60 * 60, 60 * 7]
    live = [(1 - s) * w for s, w in zip(sparsities, weights)]
    assert sum(live) == pytest.approx(0.1 * sum(weights))
    links = [4 * 100, 4 * 120, 67]
    assert np.ptp([one / own for one, own in zip(live, links)]) < 1e-9


def test_a_kernel_that_would_be_more_than_full_is_dense_and_the_others_share_the_rest():
    first, small = erdos_renyi(0.9, [(1000, 1000), (10, 10)])
    assert small == 0 and 1e6 * (1 - first) + 100 == pytest.approx(0.1 * (1e6 + 100))
    assert erdos_renyi(0.0, [(3, 3), (4, 5)]) == (0.0, 0.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            (1.0, [(3, 3)]),
            "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=1.0",
        ),
        ((0.5, []), "`shapes` must have at least one kernel. Received: none"),
        (
            (0.5, [(3, 0)]),
            "`shapes` must be pairs (inputs, units) or triples (inputs, units, gates) of positive "
            "integers. Received: (3, 0)",
        ),
    ],
)
def test_erdos_renyi_refuses_in_words(arguments, message):
    with pytest.raises(ValueError) as error:
        erdos_renyi(*arguments)
    assert str(error.value) == message


def test_a_layer_whose_dense_kernels_no_machine_holds_is_built():
    """65,536 units and inputs: 137 GB dense, 14 MB of live weights."""
    layer = layers.BlockSparseLSTM(1 << 16, sparsity=0.9999)
    layer.build((None, None, 1 << 16))
    assert layer.kernel_values.shape[0] == 4 * ((1 << 24) - round(0.9999 * (1 << 24)))


LARGE = """
import resource, sys
import numpy as np
import keras_sparse_rnn as ksr
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer = ksr.layers.BlockSparseLSTM(8192, sparsity=0.995, keep_diagonal=True)
layer.build((None, None, 8192))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_a_layer_larger_than_its_live_weights_by_two_hundred_is_built_in_their_memory():
    """8,192 units and inputs: 2.1 GB dense, 11 MB of live weights. In a process of its own."""
    run = subprocess.run([sys.executable, "-c", LARGE], check=True, capture_output=True, text=True)
    assert float(run.stdout.split()[-1]) < 150
