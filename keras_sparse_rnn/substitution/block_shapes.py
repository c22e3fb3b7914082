"""Which block shape to store a kernel in, judged by where its zeros are."""

import math

from keras_sparse_rnn.patterns import BlockGrid

# Time per stored weight in each shape that kernels are stored in, relative to (16, 16), one sample
# at a time: an LSTM of 512 and of 1024 units, 90 % of the blocks zero, one thread, AVX-512 (`python
# -m benchmarks.block_shapes` measures it), rounded up for shapes that need many indices. Wide
# blocks fill vector registers, single columns do not. Of equal costs the first wins.
RELATIVE_COST = {
    (32, 32): 1.0,
    (16, 16): 1.0,
    (8, 8): 1.1,
    (1, 16): 1.15,
    (4, 4): 1.25,
    (1, 8): 1.3,
    (16, 1): 2.1,
    (4, 1): 2.2,
    (1, 1): 4.0,
}


def relative_cost(block_shape):
    """About how long the kernels take for a stored weight in blocks of any `block_shape`, (16, 16)
    being 1, one sample at a time.

    Shapes that are not in `RELATIVE_COST` run through generic kernels, which like blocks of many
    columns, a multiple of four best, and high single columns. In batches of 16 samples and more all
    shapes are alike to within a factor of 2, of 3 in training.
    """
    rows, columns = block_shape
    if columns == 1:
        generic = 3.0 if rows >= 8 else 16.0
    elif columns % 4 == 0:
        generic = 2.5 if columns == 4 else 1.5
    else:
        generic = 17.0 if columns < 4 else 7.0 if columns < 8 else 3.6
    return RELATIVE_COST.get(tuple(block_shape), generic)


def faster_block_shape(block_shape):
    """The block shape nearest in size to a slow one that runs at two thirds of the speed of (16,
    16) or more; None for a shape that does so itself.
    """
    if relative_cost(block_shape) <= 1.5:
        return None
    size = math.log(block_shape[0] * block_shape[1])
    fast = [shape for shape, cost in RELATIVE_COST.items() if cost <= 1.5]
    return min(
        fast, key=lambda shape: (abs(math.log(shape[0] * shape[1]) - size), RELATIVE_COST[shape])
    )


def best_block_shape(kernel, gates):
    """The block shape in which the live blocks of `kernel` cost least.

    The estimated cost of a shape is the number of weights that its live blocks store (padding of
    partial blocks included), times the relative time that the kernels of this library take for a
    stored weight in blocks of that shape (`RELATIVE_COST`). Shapes larger than the kernel of one
    gate are left out.

    Args:
        kernel: NumPy array `[inputs, gates * units]`.
        gates: how many gates stand side by side.
    """
    inputs, units = kernel.shape[0], kernel.shape[1] // gates
    costs = {}
    for shape, relative in RELATIVE_COST.items():
        if shape[0] <= inputs and shape[1] <= units:
            grid = BlockGrid(inputs, units, gates, shape)
            costs[shape] = int(grid.live(kernel).sum()) * shape[0] * shape[1] * relative
    return min(costs, key=costs.__getitem__)
