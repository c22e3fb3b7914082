"""Which block shape to store a kernel in, judged by where its zeros are."""

from keras_sparse_rnn.patterns import BlockGrid

# Time per stored weight in each shape, relative to 16x16, rounded up for shapes that need many indices: an LSTM of 512 and of 1024 units, 90 % of
# the blocks zero, one thread, AVX-512. Wide blocks fill vector registers, single columns do not. Of equal costs the first wins.
RELATIVE_COST = {
    (32, 32): 1.0,
    (16, 16): 1.0,
    (8, 8): 1.1,
    (1, 16): 1.15,
    (4, 4): 1.2,
    (1, 8): 1.2,
    (16, 1): 2.2,
    (4, 1): 2.2,
}


def best_block_shape(kernel, gates):
    """The block shape in which the live blocks of `kernel` cost least.

    The estimated cost of a shape is the number of weights that its live blocks store (padding of partial blocks included), times
    the relative time that the kernels of this library take for a stored weight in blocks of that shape (`RELATIVE_COST`). Shapes larger than
    the kernel of one gate are left out; if all are, it is `(1, 1)`.

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
    return min(costs, key=costs.get) if costs else (1, 1)
