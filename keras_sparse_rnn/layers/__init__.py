"""Keras layers that compute the live blocks of their kernels only.

Each takes every argument of its Keras parent. `ksr.substitute` makes them from trained Keras
layers; built directly, with `sparsity`, they start from a random pattern:

>>> import keras
>>> from keras_sparse_rnn.layers import BlockSparseGRU
>>> gru = BlockSparseGRU(48, block_shape=(16, 16), sparsity=0.5)
>>> model = keras.Sequential([keras.Input((None, 16)), gru, keras.layers.Dense(1)])
>>> model.output_shape
(None, 1)

What was saved with these layers needs nothing but `import keras_sparse_rnn` before it is loaded: a
file that Keras saved, which names them, and a SavedModel (`model.export`), which has the native ops
in it. The import registers both; a SavedModel needs the native library where it is loaded, too.

`storage="packed"` (the default) trains the live weights only; `storage="masked"` owns dense
kernels, which a callback may prune while they train. `BlockSparseCell` is one step of a layer,
where a Keras cell is wanted."""

from keras_sparse_rnn.layers.block_sparse_cell import BlockSparseCell
from keras_sparse_rnn.layers.block_sparse_dense import BlockSparseDense
from keras_sparse_rnn.layers.block_sparse_gru import BlockSparseGRU
from keras_sparse_rnn.layers.block_sparse_lstm import BlockSparseLSTM
from keras_sparse_rnn.layers.block_sparse_simple_rnn import BlockSparseSimpleRNN

__all__ = [
    "BlockSparseCell",
    "BlockSparseDense",
    "BlockSparseGRU",
    "BlockSparseLSTM",
    "BlockSparseSimpleRNN",
]
