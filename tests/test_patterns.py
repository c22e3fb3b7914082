"""The geometry of blocks and the choice of those that live, against laws that hold for every
size.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sparse_rnn.patterns import (
    Block,
    BlockGrid,
    check_block_fits,
    check_block_shape,
    check_choice,
    check_sparsity,
    keep_largest,
)

FEW = settings(max_examples=60, deadline=None)
SIZES = st.integers(1, 13)


@st.composite
def grids(draw):
    """Grids with odd sizes, partial edges, blocks larger than the kernel, one to four gates."""
    return BlockGrid(draw(SIZES), draw(SIZES), draw(st.integers(1, 4)), (draw(SIZES), draw(SIZES)))


def weights(grid, seed):
    return np.random.default_rng(seed).normal(size=grid.kernel_shape).astype("float32")


def assert_reached(live, elements, sparsity):
    """To within half a block; or too little is gone, because one block must live."""
    short = sparsity * elements.sum() - elements[~live].sum()
    assert short >= -elements.max() / 2 - 1e-6
    assert short <= elements.max() / 2 + 1e-6 or np.count_nonzero(live) == 1


def block_of(grid, row, column):
    """The block that the weight at (row, column) of the kernel lies in, as (gate, column, row), by
    the definition.
    """
    gate, unit = divmod(column, grid.units)
    return gate, unit // grid.block_shape[1], row // grid.block_shape[0]


@FEW
@given(grids(), st.integers(0, 99))
def test_every_weight_lies_in_the_block_that_the_definition_says(grid, seed):
    kernel, cut = weights(grid, seed), None
    cut = grid.split(kernel)
    rebuilt = np.zeros_like(kernel)
    for row in range(grid.inputs):
        for column in range(grid.gates * grid.units):
            unit = column % grid.units
            place = (row % grid.block_shape[0], unit % grid.block_shape[1])
            rebuilt[row, column] = cut[block_of(grid, row, column) + place]
    np.testing.assert_array_equal(rebuilt, kernel)
    np.testing.assert_allclose(
        np.abs(cut).sum(), np.abs(kernel).sum(), rtol=1e-5
    )  # and padding is zero


@FEW
@given(grids(), st.integers(0, 99))
def test_join_is_the_inverse_of_split(grid, seed):
    np.testing.assert_array_equal(grid.join(grid.split(weights(grid, seed))), weights(grid, seed))


@FEW
@given(grids(), st.data())
def test_expand_and_live_are_inverse(grid, data):
    live = np.array(
        data.draw(st.lists(st.booleans(), min_size=grid.count, max_size=grid.count))
    ).reshape(grid.shape)
    mask = grid.expand(live)
    assert mask.dtype == bool and mask.shape == grid.kernel_shape
    np.testing.assert_array_equal(grid.live(mask), live)
    assert grid.sparsity(live) == pytest.approx(1 - mask.mean(), abs=1e-12)


@FEW
@given(grids(), st.integers(0, 99), st.floats(0, 0.999))
def test_unpack_is_the_inverse_of_pack(grid, seed, sparsity):
    kernel = weights(grid, seed)
    kernel = kernel * grid.expand(Block(grid.block_shape).keep(grid, kernel, sparsity))
    values, blocks = grid.pack(kernel)
    assert blocks.dtype == np.int32 and (np.diff(blocks) > 0).all()
    assert values.shape == (len(blocks),) + grid.block_shape
    np.testing.assert_array_equal(grid.unpack(values, blocks), kernel)
    again, _ = grid.pack(grid.unpack(values, blocks), blocks)
    np.testing.assert_array_equal(again, values)


def test_blocks_are_numbered_gate_by_gate_column_by_column():
    grid = BlockGrid(inputs=5, units=7, gates=3, block_shape=(2, 3))
    kernel = np.zeros(grid.kernel_shape)
    kernel[4, 7 + 6] = (
        1.0  # gate 1, last column of blocks (one unit wide), last row of blocks (one input high)
    )
    values, blocks = grid.pack(kernel)
    assert blocks.tolist() == [(1 * grid.columns + 2) * grid.rows + 2]
    expected = np.zeros((1, 2, 3))
    expected[0, 0, 0] = 1.0
    np.testing.assert_array_equal(values, expected)


def test_a_kernel_of_zeros_packs_to_nothing():
    grid = BlockGrid(3, 5, 2, (2, 2))
    values, blocks = grid.pack(np.zeros(grid.kernel_shape, "float32"))
    assert values.shape == (0, 2, 2) and blocks.shape == (0,)
    np.testing.assert_array_equal(grid.unpack(values, blocks), np.zeros(grid.kernel_shape))


def test_nan_counts_as_a_weight_that_lives():
    grid = BlockGrid(4, 4, 1, (2, 2))
    kernel = np.zeros((4, 4))
    kernel[3, 0] = np.nan
    assert np.flatnonzero(grid.live(kernel)).tolist() == [1]


@FEW
@given(
    grids(),
    st.integers(0, 99),
    st.floats(0, 0.999),
    st.sampled_from(["max", "mean", "l2"]),
    st.sampled_from(["gate", "kernel"]),
)
def test_sparsity_is_reached_to_within_half_a_block(grid, seed, sparsity, criterion, scope):
    keep = Block(grid.block_shape, criterion).keep(grid, weights(grid, seed), sparsity, scope)
    parts = zip(keep, grid.elements) if scope == "gate" else [(keep, grid.elements)]
    for live, elements in parts:
        assert_reached(live, elements, sparsity)


@FEW
@given(grids(), st.floats(0, 0.999))
def test_sparsity_is_reached_also_when_all_weights_are_equal(grid, sparsity):
    keep = Block(grid.block_shape).keep(grid, np.ones(grid.kernel_shape), sparsity)
    for live, elements in zip(keep, grid.elements):
        assert_reached(live, elements, sparsity)


@FEW
@given(grids(), st.integers(0, 99), st.floats(0, 0.999), st.sampled_from(["max", "mean", "l2"]))
def test_no_dropped_block_scores_above_a_kept_one(grid, seed, sparsity, criterion):
    kernel, block = weights(grid, seed), Block(grid.block_shape, criterion)
    keep, scores = block.keep(grid, kernel, sparsity), block.scores(grid, kernel)
    for live, score in zip(keep, scores):
        assert score[~live].max(initial=-1.0) <= score[live].min(initial=np.inf)


@pytest.mark.parametrize(
    ("criterion", "score"),
    [
        ("max", lambda w: np.abs(w).max()),
        ("mean", lambda w: np.abs(w).mean()),
        ("l2", lambda w: (w.astype("float64") ** 2).mean()),
    ],
)
def test_scores_are_taken_over_the_weights_that_a_block_has(criterion, score):
    grid = BlockGrid(5, 7, 2, (3, 4))
    kernel = weights(grid, 3)
    scores = Block((3, 4), criterion).scores(grid, kernel)
    for gate in range(2):
        for column in range(2):
            for row in range(2):
                part = kernel[
                    3 * row : 3 * row + 3,
                    7 * gate + 4 * column : min(7 * gate + 4 * column + 4, 7 * gate + 7),
                ]
                assert scores[gate, column, row] == pytest.approx(score(part), rel=1e-6)


def test_the_criteria_choose_different_blocks():
    grid = BlockGrid(2, 6, 1, (2, 2))
    kernel = np.array(
        [[9.0, 0, 5, 5, 7, 3], [0, 0, 5, 5, 0, 7]]
    )  # max 9, 5, 7; mean 2.25, 5, 4.25; l2 20.25, 25, 26.75
    assert [
        int(np.argmin(Block((2, 2), c).scores(grid, kernel))) for c in ("max", "mean", "l2")
    ] == [1, 0, 0]
    assert [
        int(np.argmax(Block((2, 2), c).scores(grid, kernel))) for c in ("max", "mean", "l2")
    ] == [0, 1, 2]


@pytest.mark.parametrize(("scope", "live"), [("gate", 4), ("kernel", 2)])
def test_no_gate_of_few_blocks_becomes_all_zero(scope, live):
    """Four blocks for each gate, of which 90 % are nearer to four than to three."""
    grid = BlockGrid(16, 64, 4, (16, 16))
    keep = Block((16, 16)).keep(grid, weights(grid, 0), 0.9, scope)
    assert np.count_nonzero(keep) == live and (scope == "kernel" or keep.any(axis=(1, 2)).all())


def test_protected_blocks_are_kept_and_count():
    scores, elements = np.arange(10.0), np.full(10, 4)
    protected = np.zeros(10, bool)
    protected[:3] = True
    keep = keep_largest(scores, elements, 0.5, protected=protected)
    assert keep.tolist() == [True] * 3 + [False] * 5 + [True] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_of_weights_that_are_not_finite_are_refused(value):
    grid = BlockGrid(2, 3, 1, (2, 2))
    kernel = np.ones((2, 3))
    kernel[1, 2] = value
    with pytest.raises(ValueError) as error:
        Block((2, 2)).scores(grid, kernel)
    assert str(error.value) == (
        "`kernel` must be finite when a mask is taken from it: training has diverged. "
        "Received: 1 of 6 weights are NaN or infinite"
    )


@pytest.mark.parametrize(
    "shape", [(0, 4), (-1, 4), (4,), (4, 4, 4), 4, "44", (4.0, 4), (True, 4), None]
)
def test_bad_block_shapes_are_refused(shape):
    with pytest.raises(ValueError) as error:
        check_block_shape(shape)
    assert (
        str(error.value)
        == "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
        f"block_shape={shape!r}"
    )


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1, 2, np.nan, "0.5", True, None])
def test_bad_sparsities_are_refused(sparsity):
    with pytest.raises(ValueError) as error:
        check_sparsity(sparsity)
    assert (
        str(error.value)
        == f"`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity={sparsity!r}"
    )


def test_other_bad_input_is_refused():
    with pytest.raises(
        ValueError,
        match="`criterion` must be one of 'max', 'mean', 'l2'. Received: criterion='min'",
    ):
        Block((2, 2), "min")
    with pytest.raises(
        ValueError, match="`units` must be an integer of at least 1. Received: units=0"
    ):
        BlockGrid(3, 0, 1, (2, 2))
    with pytest.raises(
        ValueError,
        match=r"`kernel` must have the shape .* = \(3, 8\). Received: kernel of shape \(3, 4\)",
    ):
        BlockGrid(3, 4, 2, (2, 2)).split(np.zeros((3, 4)))
    with pytest.raises(
        ValueError,
        match=r"lstm has \(inputs, units\) = \(8, 8\) per gate. Received: block_shape=\(8, 9\)",
    ):
        check_block_fits((8, 9), (8, 8), "lstm")
    check_block_fits((8, 8), (8, 8), "lstm")
    assert check_choice("a", ("a", "b"), "letter") == "a"
