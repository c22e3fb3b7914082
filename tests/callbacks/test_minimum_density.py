"""No gate has fewer blocks than `minimum_density` says, whatever the scope."""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

BLOCK = (3, 2)


def with_a_small_gate(model):
    for variable in kernels(model):
        variable.assign(
            np.random.default_rng(4).normal(size=variable.shape) * np.repeat([1, 1, 0.001], 11)
        )
    return model


def counts(pruning):
    """Live blocks of each gate, of both kernels: 12 and 24 there are."""
    return [mask.sum(axis=(1, 2)).tolist() for mask in pruning.masks.values()]


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
@pytest.mark.parametrize("scope", ["kernel", "model"])
def test_the_best_blocks_of_a_gate_stay(scope, make_model, data):
    model = with_a_small_gate(make_model("gru"))
    before = kernels(model)[1].numpy()
    pruning = BlockPruning(Constant(0.6, 1), BLOCK, scope=scope, minimum_density=0.2)
    fit(model, data, pruning)
    assert [gates[2] for gates in counts(pruning)] == [3, 5]  # a fifth of 12 and of 24, rounded up
    assert pruning.sparsity == pytest.approx(0.6, abs=0.03)
    grid = pruning.named_kernels()[1][1].grid
    scores = np.abs(grid.split(before))[2].max(axis=(2, 3))
    live = pruning.masks["rnn/gru_cell/recurrent_kernel"][2]
    assert np.count_nonzero(scores[live] > np.median(scores)) >= 4
    starved = BlockPruning(Constant(0.6, 1), BLOCK, scope=scope)
    fit(with_a_small_gate(make_model("gru")), data, starved)
    assert starved.masks["rnn/gru_cell/recurrent_kernel"][2].sum() <= 1


def test_it_holds_while_the_sparsity_rises_and_blocks_come_back(make_model, data):
    model = with_a_small_gate(make_model("gru", optimizer="adam"))
    ramp = PolynomialDecay(0.1, 0.7, 1, 8)
    pruning = BlockPruning(
        ramp,
        BLOCK,
        scope="model",
        minimum_density=0.2,
        frequency=2,
        regrowth=Regrowth(0.4, until=13),
    )
    fit(model, data, pruning, epochs=3)
    assert all(gate >= least for gates, least in zip(counts(pruning), (3, 5)) for gate in gates)
    assert pruning.sparsity == pytest.approx(0.7, abs=0.03)


def test_it_holds_under_a_threshold(make_model, data):
    pruning = BlockPruning(
        ThresholdRamp(1, 2, 4, 50.0, 50.0, frequency=1), BLOCK, minimum_density=0.2
    )
    fit(make_model("gru"), data, pruning)  # in silence: no gate is down to its last block
    assert counts(pruning) == [[3, 3, 3], [5, 5, 5]]


def test_more_than_the_sparsity_allows(make_model, data):
    with pytest.raises(
        ValueError,
        match=(
            "`keep_diagonal` and `minimum_density` protect more than the sparsity allows: 3 of "
            "12 blocks are kept"
        ),
    ):
        fit(make_model("gru"), data, BlockPruning(Constant(0.9, 1), BLOCK, minimum_density=0.2))


def test_it_is_checked_and_saved():
    with pytest.raises(
        ValueError,
        match="`minimum_density` must be a fraction in .0, 1.*Received: minimum_density=1.0",
    ):
        BlockPruning(Constant(0.5, 1), minimum_density=1.0)
    again = BlockPruning.from_config(
        BlockPruning(Constant(0.5, 1), minimum_density=0.1).get_config()
    )
    assert again.minimum_density == 0.1


def test_a_density_that_is_a_whole_number_of_blocks_is_not_rounded_up():
    """0.07 * 100 is 7.000000000000001."""
    model = keras.Sequential([keras.Input((2, 40)), keras.layers.SimpleRNN(40, name="rnn")])
    ksr.prune(model, 0.93, (4, 4), minimum_density=0.07)
    for variable in kernels(model):
        assert np.count_nonzero(variable) == 7 * 16
