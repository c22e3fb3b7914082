"""What block shapes are said to cost."""

import pytest

from keras_sparse_rnn.substitution.block_shapes import (
    RELATIVE_COST,
    faster_block_shape,
    relative_cost,
)


def test_every_shape_has_a_cost():
    assert relative_cost((16, 16)) == relative_cost([16, 16]) == 1.0
    assert all(relative_cost(shape) == cost >= 1.0 for shape, cost in RELATIVE_COST.items())
    assert (
        relative_cost((1, 32))
        < relative_cost((4, 9))
        < relative_cost((3, 5))
        < relative_cost((2, 2))
    )
    assert relative_cost((32, 1)) < relative_cost((2, 1))
    assert all(
        1.0 <= relative_cost((rows, columns)) <= 20.0
        for rows in range(1, 40)
        for columns in range(1, 40)
    )


@pytest.mark.parametrize(
    "shape, instead",
    [
        ((16, 16), None),
        ((1, 8), None),
        ((16, 1), (1, 16)),
        ((4, 1), (1, 8)),
        ((2, 2), (1, 8)),
        ((64, 64), None),
        ((20, 9), (16, 16)),
        ((1, 1), (1, 8)),
    ],
)
def test_slow_shapes_have_a_fast_one_of_about_their_size(shape, instead):
    assert faster_block_shape(shape) == instead
