"""What block shapes are said to cost."""

import numpy as np
import pytest

from keras_sparse_rnn.patterns import Block, BlockGrid
from keras_sparse_rnn.substitution.block_shapes import (
    GENERIC_COST,
    RELATIVE_COST,
    best_block_shape,
    faster_block_shape,
    relative_cost,
)


def test_every_shape_has_a_cost():
    assert relative_cost((16, 16)) == 1.0
    for shape, cost in RELATIVE_COST.items():
        assert relative_cost(shape) == cost >= 1.0
    for columns, cost in GENERIC_COST.items():
        assert relative_cost((3, columns)) == cost
    assert relative_cost((3, 3)) == GENERIC_COST[2] and relative_cost((64, 100)) == GENERIC_COST[32]
    assert relative_cost((1, 1)) > relative_cost((4, 1))


@pytest.mark.parametrize(
    "shape, instead", [((16, 16), None), ((1, 8), None), ((16, 1), (1, 16)), ((4, 1), (1, 8)), ((2, 2), (1, 8)), ((64, 64), (32, 32)), ((1, 1), (1, 8))]
)
def test_slow_shapes_have_a_fast_one_of_about_their_size(shape, instead):
    assert faster_block_shape(shape) == instead


def test_zeros_in_a_shape_of_generic_kernels_are_stored_in_one_with_fast_ones():
    grid = BlockGrid(64, 64, 4, (16, 1))
    dense = np.random.default_rng(0).normal(size=grid.kernel_shape)
    kernel = dense * grid.expand(Block((16, 1)).keep(grid, dense, 0.9))
    assert best_block_shape(kernel, 4) == (4, 1)
