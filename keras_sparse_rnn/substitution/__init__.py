"""Keras layers -> block-sparse layers, and back.

`substitute` turns a trained (pruned) Keras model into one that computes live blocks only, with the
same predictions; `to_dense` is the way back. Both leave the model they are given alone and return a
new one, compiled like it, that goes on training where it was.

>>> import keras, numpy as np
>>> from keras_sparse_rnn import patterns, substitution
>>> model = keras.Sequential([keras.Input((None, 16)), keras.layers.GRU(32), keras.layers.Dense(1)])
>>> kernel, recurrent_kernel, bias = model.layers[0].get_weights()
>>> block = patterns.Block((16, 16))
>>> grid = block.grid(recurrent_kernel.shape, gates=3)
>>> recurrent_kernel *= grid.expand(block.keep(grid, recurrent_kernel, sparsity=0.5))
>>> model.layers[0].set_weights([kernel, recurrent_kernel, bias])
>>> sparse = substitution.substitute(model)
>>> tuple(sparse.layers[0].recurrent_kernel_values.shape)
(6, 16, 16)
>>> x = np.random.default_rng(0).normal(size=(2, 5, 16))
>>> bool(np.allclose(model(x), sparse(x), atol=1e-6))
True"""

from keras_sparse_rnn.substitution.substitution import substitute, to_dense

__all__ = ["substitute", "to_dense"]
