"""The blocks that geometry alone chooses."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.manifolds import Circle, KleinBottle, Sphere, Torus
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.regularizers import Moduli


def kept(moduli, units, sparsity, block_shape):
    """The mean R of the weights that live."""
    mask = moduli.block_mask(sparsity, block_shape, units)
    return moduli.matrix(units)[BlockGrid(units, units, 1, block_shape).expand(mask)].mean()


@pytest.mark.parametrize("sparsity", [0.8, 0.95])
@pytest.mark.parametrize("block_shape", [(4, 4), (8, 8), (1, 8)])
@pytest.mark.parametrize("manifold", [Circle(), Sphere(), Torus(), KleinBottle()], ids=repr)
@pytest.mark.parametrize("inhibitor", ["difference_of_gaussians", "diffusion"])
def test_order_keeps_cheaper_weights_than_chance_at_equal_sparsity(
    manifold, inhibitor, block_shape, sparsity
):
    units = 150
    ordered, random = (
        kept(Moduli(manifold, inhibitor, seed=1, **options), units, sparsity, block_shape)
        for options in ({"placement": "lattice", "order": "patches"}, {})
    )
    inhibition = Moduli(manifold, inhibitor, seed=1).matrix(units)
    best = np.sort(inhibition, axis=None)[: round((1 - sparsity) * units**2)].mean()
    assert ordered < best + 0.75 * (random - best)
    if block_shape == (4, 4) and not isinstance(
        manifold, Sphere
    ):  # its 314 of area are too many for 150 neurons
        assert ordered < best + 0.5 * (random - best)


@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("block_shape, units", [((16, 16), 150), ((4, 5), (37, 51)), ((1, 16), 64)])
def test_the_mask_has_the_sparsity_asked_for(block_shape, units, gates):
    inputs, columns = units if isinstance(units, tuple) else (units, units)
    moduli = Moduli(Torus(), seed=0, separate=inputs != columns)
    grid = BlockGrid(inputs, columns, gates, block_shape)
    mask = moduli.block_mask(0.9, block_shape, units, gates)
    assert mask.shape == grid.shape and mask.dtype == bool
    assert (mask == mask[:1]).all()
    assert grid.sparsity(mask) == pytest.approx(
        0.9, abs=grid.elements.max() / 2 / grid.elements[0].sum()
    )


def test_live_blocks_are_the_cheapest():
    moduli = Moduli(KleinBottle(), seed=2, order="patches")
    grid = BlockGrid(50, 50, 1, (8, 8))
    means = grid.split(moduli.matrix(50)).sum(axis=(3, 4)) / grid.elements
    mask = moduli.block_mask(0.7, (8, 8), 50)
    assert means[mask].max() <= means[~mask].min() + 1e-4


def test_equal_blocks_are_chosen_by_chance_and_not_by_number():
    masks = [
        Moduli(Torus(), np.ones_like, seed=seed).block_mask(0.5, (2, 2), 40)[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    assert 3 < masks[0].sum(axis=0).min() and masks[0].sum(axis=0).max() < 17


def test_the_size_of_the_only_kernel_is_known():
    moduli = Moduli(Torus(), seed=0)
    message = (
        "`units` must be given unless kernels of one size have been penalised. Received: "
        "units=None, {} sizes so far"
    )
    with pytest.raises(ValueError) as error:
        moduli.block_mask(0.9, (4, 4))
    assert str(error.value) == message.format(0)
    moduli(np.zeros((20, 60)))
    np.testing.assert_array_equal(
        moduli.block_mask(0.9, (4, 4)), moduli.block_mask(0.9, (4, 4), 20)
    )
    moduli(np.zeros((8, 8)))
    with pytest.raises(ValueError) as error:
        moduli.block_mask(0.9, (4, 4))
    assert str(error.value) == message.format(2)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_a_network_is_sparse_from_the_start(storage):
    """The way that docs/moduli.md tells."""
    keras.utils.set_random_seed(0)
    moduli = Moduli(Torus(), seed=0, placement="lattice", order="patches")
    model = keras.Sequential([keras.Input((2, 8)), keras.layers.LSTM(32, name="lstm", unroll=True)])
    model.compile("adam", "mse", run_eagerly=True)
    mask = moduli.block_mask(0.75, (8, 8), units=32, gates=4)
    grid = BlockGrid(32, 32, 4, (8, 8))
    kernel = model.get_layer("lstm").cell.recurrent_kernel
    kernel.assign(kernel * grid.expand(mask) / mask.mean() ** 0.5)
    sparse = ksr.substitute(model, (8, 8), storage)
    before = sparse.layers[0].dense_kernels()[1]
    generator = np.random.default_rng(0)
    sparse.fit(generator.normal(size=(16, 2, 8)), np.zeros((16, 1)), verbose=0)
    after = sparse.layers[0].dense_kernels()[1]
    np.testing.assert_array_equal(grid.live(after), mask)
    assert (after != before)[grid.expand(mask)].mean() > 0.99
    pruning = ksr.callbacks.BlockPruning(ksr.schedules.Constant(0.75, 0), (8, 8), layers="lstm")
    model.fit(generator.normal(size=(16, 2, 8)), np.zeros((16, 1)), verbose=0, callbacks=[pruning])
    np.testing.assert_array_equal(grid.live(kernel.numpy()), mask)
