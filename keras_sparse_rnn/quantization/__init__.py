"""Training at few bits, so that what is deployed at few bits is what was trained.

A layer of `low_precision=LowPrecision(weight_bits=4)` computes with rounded weights from the first
step on, and its optimizer trains the float weights behind them:

>>> import keras
>>> import keras_sparse_rnn as ksr
>>> model = keras.Sequential([keras.Input((None, 32)), keras.layers.LSTM(32)])
>>> low = ksr.quantization.LowPrecision(weight_bits=8, activation_bits=8)
>>> trained = ksr.substitute(model, (16, 16), storage="masked", low_precision=low)
>>> trained.layers[0].low_precision
LowPrecision(weight_bits=8, activation_bits=8)

`fit` it, with `BlockPruning` if it shall be sparse, too. `ksr.substitute(trained, weights="int8",
activations="int8")` then has the very integers that it was trained with. docs/low_precision.md says
which arguments serve whom."""

from keras_sparse_rnn.quantization.low_precision import LowPrecision

__all__ = ["LowPrecision"]
