"""The mask of one kernel: which blocks are dropped, when zeros are a pattern, how constraints
compose.
"""

import types

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sparse_rnn.patterns import BlockGrid, keep_largest, missing
from keras_sparse_rnn.pruning.masks import KernelMask, MaskConstraint
from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.slots import moving_averages

FEW = settings(max_examples=100, deadline=None)
FRACTIONS = st.integers(0, 99).map(lambda percent: percent / 100)


@st.composite
def blocks(draw):
    """The sizes of the blocks of some grid, and random scores."""
    size, side = st.integers(3, 12), st.integers(1, 5)
    grid = BlockGrid(draw(size), draw(size), 1, (draw(side), draw(side)))
    scores = np.random.default_rng(draw(st.integers(0, 99))).random(grid.shape)
    return np.array(grid.elements), scores


def drop(live, scores, elements, protected, sparsity):
    return keep_largest(scores, elements, sparsity, live=live, protected=protected)


def assert_reached(live, elements, sparsity):
    """To within half a block, or all blocks but one are gone."""
    short, tolerance = missing(live.ravel(), elements.ravel(), sparsity)
    assert short <= tolerance + 1e-9 or np.count_nonzero(live) == 1
    assert short >= -tolerance - 1e-9


@FEW
@given(blocks(), FRACTIONS)
def test_the_sparsity_is_reached_to_within_half_a_block(sizes_and_scores, sparsity):
    elements, scores = sizes_and_scores
    live = drop(
        np.ones(elements.shape, bool), scores, elements, np.zeros(elements.shape, bool), sparsity
    )
    assert_reached(live, elements, sparsity)
    assert scores[~live].max(initial=0) <= scores[live].min(initial=1)


@FEW
@given(blocks(), FRACTIONS, st.integers(0, 99))
def test_asking_again_changes_nothing_whatever_the_weights_have_become(
    sizes_and_scores, sparsity, seed
):
    elements, scores = sizes_and_scores
    none = np.zeros(elements.shape, bool)
    live = drop(~none, scores, elements, none, sparsity)
    others = np.random.default_rng(seed).random(elements.shape)
    np.testing.assert_array_equal(drop(live, others, elements, none, sparsity), live)


@FEW
@given(blocks(), FRACTIONS, FRACTIONS, st.integers(0, 99))
def test_what_is_dropped_stays_dropped(sizes_and_scores, first, second, seed):
    elements, scores = sizes_and_scores
    none = np.zeros(elements.shape, bool)
    before = drop(~none, scores, elements, none, first)
    after = drop(before, np.random.default_rng(seed).random(elements.shape), elements, none, second)
    assert not (after & ~before).any()
    if second >= first:
        assert_reached(after, elements, second)


@FEW
@given(blocks(), st.integers(80, 99), st.integers(0, 99))
def test_each_family_keeps_its_largest_block_also_when_asked_again(sizes_and_scores, percent, seed):
    elements, scores = sizes_and_scores
    generator = np.random.default_rng(seed)
    families = generator.integers(0, 4, elements.shape)
    live = keep_largest(scores, elements, percent / 100, families=families)
    for family in np.unique(families):
        own = families == family
        assert live.ravel()[np.argmax(np.where(own, scores, -1))]
        assert scores[own & ~live].max(initial=0) <= scores[own & live].min(initial=1)
    short, tolerance = missing(live.ravel(), elements.ravel(), percent / 100)
    assert short <= tolerance or all(
        np.count_nonzero(live[families == family]) == 1 for family in np.unique(families)
    )
    again = keep_largest(
        generator.random(elements.shape), elements, percent / 100, live=live, families=families
    )
    np.testing.assert_array_equal(again, live)


def test_a_protected_block_is_the_one_that_its_family_keeps():
    scores, elements, families = np.arange(8.0), np.full(8, 4), np.arange(8) // 4
    protected = scores == 1
    live = keep_largest(scores, elements, 0.75, protected=protected, families=families)
    assert live.tolist() == [False, True] + [False] * 5 + [True]


def test_a_family_without_a_live_block_stays_without():
    live = np.array([False, False, True, True])
    kept = keep_largest(
        np.arange(4.0), np.full(4, 6), 0.9, live=live, families=np.array([0, 0, 1, 1])
    )
    assert kept.tolist() == [False, False, False, True]


def test_protected_blocks_are_kept_and_too_many_are_an_error():
    scores, elements = np.arange(8.0), np.full(8, 4)
    protected = scores < 3
    live = drop(np.ones(8, bool), scores, elements, protected, 0.5)
    assert live.tolist() == [True] * 3 + [False] * 4 + [True]
    with pytest.raises(ValueError) as error:
        drop(np.ones(8, bool), scores, elements, protected, 0.8)
    assert str(error.value) == (
        "`keep_diagonal` and `minimum_density` protect more than the sparsity allows: 3 of 8 "
        "blocks are kept. Received: sparsity=0.8"
    )


def masked(
    kind=keras.layers.GRU, units=7, block_shape=(2, 3), keep_diagonal=False, role=1, **arguments
):
    layer = kind(units, **arguments)
    layer.build((None, 2, 5))
    return KernelMask(find_kernels(layer)[role], block_shape, keep_diagonal)


def test_the_zero_blocks_of_the_weights_are_the_pattern():
    kernel = masked()
    live = np.random.default_rng(0).random(kernel.grid.shape) < 0.5
    kernel.kernel.variable.assign(kernel.kernel.numpy() * kernel.grid.expand(live))
    np.testing.assert_array_equal(kernel.pattern(False), live)


@pytest.mark.parametrize("initializer", ["zeros", "identity", keras.initializers.Identity(0.3)])
def test_zeros_and_the_identity_of_an_initializer_are_no_pattern(initializer):
    for kind in (keras.layers.SimpleRNN, keras.layers.LSTM):
        assert masked(kind, recurrent_initializer=initializer).pattern(False).all()
        kernel = masked(kind, recurrent_initializer=initializer)
        np.testing.assert_array_equal(kernel.pattern(True), kernel.grid.live(kernel.kernel.numpy()))


@pytest.mark.parametrize(
    ("units", "block_shape"), [(7, (2, 3)), (8, (4, 4)), (5, (1, 1)), (6, (1, 6)), (6, (4, 1))]
)
def test_the_diagonal_is_that_of_each_gate(units, block_shape):
    kernel = masked(units=units, block_shape=block_shape, keep_diagonal=True)
    expected = np.zeros(kernel.grid.shape, bool)
    for gate in range(3):
        for n in range(units):
            expected[gate, n // block_shape[1], n // block_shape[0]] = True
    np.testing.assert_array_equal(kernel.protected, expected)
    assert not masked(
        units=units, block_shape=block_shape, keep_diagonal=True, role=0
    ).protected.any()


def test_an_existing_constraint_goes_before_the_mask():
    mask = keras.Variable([True, False, True], dtype="bool")
    constraint = MaskConstraint(lambda w: w + 1.0, mask, lambda: [], None, None)
    np.testing.assert_array_equal(
        constraint(keras.Variable([1.0, 2.0, 3.0])).numpy(), [2.0, 0.0, 4.0]
    )


def test_masked_weights_that_are_nan_become_zero():
    constraint = MaskConstraint(
        None, keras.Variable([True, False], dtype="bool"), lambda: [], None, None
    )
    np.testing.assert_array_equal(constraint(keras.Variable([1.0, np.nan])).numpy(), [1.0, 0.0])


def test_moving_averages_are_found_inside_other_optimizers():
    variable, other = keras.Variable([1.0, 2.0]), keras.Variable([3.0])
    inner = keras.optimizers.SGD(use_ema=True)
    outer = keras.optimizers.LossScaleOptimizer(inner)
    assert moving_averages(outer, variable) == []
    outer.build([other, variable])
    (average,) = moving_averages(outer, variable)
    assert average is inner._model_variables_moving_average[1]
    several = types.SimpleNamespace(optimizers=[keras.optimizers.SGD(), inner])
    assert moving_averages(several, variable)[0] is average
    assert moving_averages(keras.optimizers.SGD(), variable) == []
