"""Penalties on kernels, for `kernel_regularizer` and `recurrent_regularizer` of any layer.

- `GroupLasso`: drives whole blocks towards zero. With blocks of (1, 1) it is the L1 penalty.
- `Moduli`: makes weights dear by how far apart on a manifold the neurons are that they join. With
  `order="patches"` the cheap ones fill blocks.
- `TrainableModuli`: the same, and the neurons move.
- `MeanL1`: the mean size of a weight, to compare `Moduli` with. (The sum of sizes, Keras has:
  `keras.regularizers.L1`.)

They see the gates of a kernel apart, and their `strength` is a variable, which
`callbacks.StrengthSchedule` changes while a model trains. For one's own, derive from `Regularizer`.

>>> import keras
>>> lasso = GroupLasso(1e-5, block_shape=(16, 16))
>>> layer = keras.layers.LSTM(64, kernel_regularizer=lasso, recurrent_regularizer=lasso)"""

from keras_sparse_rnn.regularizers.group_lasso import GroupLasso
from keras_sparse_rnn.regularizers.inhibitors import INHIBITORS
from keras_sparse_rnn.regularizers.mean_l1 import MeanL1
from keras_sparse_rnn.regularizers.moduli import Moduli
from keras_sparse_rnn.regularizers.regularizer import Regularizer
from keras_sparse_rnn.regularizers.trainable_moduli import TrainableModuli

__all__ = ["INHIBITORS", "GroupLasso", "MeanL1", "Moduli", "Regularizer", "TrainableModuli"]
