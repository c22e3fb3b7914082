"""Which weights of a kernel are zero together.

A Keras recurrent kernel is a matrix `[inputs, gates * units]`: the gates stand side by side (LSTM:
i, f, c, o; GRU: z, r, h). A pattern cuts the part of *each gate* into blocks of `block_shape =
(rows, columns)`, so that a block never straddles two gates. Where the sizes do not divide, the last
block of a row or column is partial.

`BlockGrid` is the geometry of one kernel: it splits, packs and unpacks. `Block` decides which
blocks live: it scores them by their weights and drops the lowest until the sparsity that was asked
for is reached.

The blocks of a kernel are numbered gate by gate, in a gate column by column, in a column from the
first row to the last:

    number = (gate * columns + column) * rows + row

A packed kernel is the ascending list of its live block numbers, `blocks` int32 `[live]`, and
`values` `[live, block rows, block columns]`, where the part of a partial block that lies outside
the kernel is zero.

A `Pattern` says itself which weights may live: `NofM(2, 4)` two of every four inputs, and
`from_graph(graph)` those along the links of a graph, in a recurrent kernel.

>>> import numpy as np
>>> grid = BlockGrid(inputs=6, units=8, gates=4, block_shape=(4, 4))
>>> grid.shape                       # gates, columns, rows: the second row of blocks is partial
(4, 2, 2)
>>> kernel = np.random.default_rng(0).normal(size=(6, 32))
>>> keep = Block((4, 4)).keep(grid, kernel, sparsity=0.5)
>>> values, blocks = grid.pack(kernel * grid.expand(keep))
>>> values.shape
(8, 4, 4)"""

from keras_sparse_rnn.patterns.arguments import (
    check_block_fits,
    check_block_or_pattern,
    check_block_shape,
    check_choice,
    check_flag,
    check_sparsity,
    fitted_block_shape,
)
from keras_sparse_rnn.patterns.block import (
    CRITERIA,
    SCOPES,
    Block,
    check_finite,
    keep_largest,
    missing,
)
from keras_sparse_rnn.patterns.chance import among_others, distinct
from keras_sparse_rnn.patterns.erdos_renyi import erdos_renyi
from keras_sparse_rnn.patterns.graph import GraphPattern, from_graph
from keras_sparse_rnn.patterns.grid import BlockGrid
from keras_sparse_rnn.patterns.n_of_m import NofM
from keras_sparse_rnn.patterns.pattern import Pattern, check_pattern

__all__ = [
    "CRITERIA",
    "SCOPES",
    "Block",
    "BlockGrid",
    "GraphPattern",
    "NofM",
    "Pattern",
    "among_others",
    "check_block_fits",
    "check_block_or_pattern",
    "check_block_shape",
    "check_choice",
    "check_finite",
    "check_flag",
    "check_pattern",
    "check_sparsity",
    "distinct",
    "erdos_renyi",
    "fitted_block_shape",
    "from_graph",
    "keep_largest",
    "missing",
]
