"""Runs models that `keras_sparse_rnn` exported, with NumPy alone: no TensorFlow, no Keras.

>>> import ksr_runtime                                             # doctest: +SKIP
>>> model = ksr_runtime.Model("model.ksr")                         # doctest: +SKIP
>>> y = model.run(x)                                               # doctest: +SKIP
>>> stream = model.stream()                                        # doctest: +SKIP
>>> y = stream(chunk)                                              # doctest: +SKIP

A model is prepared once for this processor (float32, bfloat16 or int8 weights of which only live
blocks are kept, see docs/c_library.md); then any number of streams run it, in any number of
threads. docs/deployment.md says when to take it."""

from ksr_runtime.model import Model
from ksr_runtime.stream import Stream

__all__ = ["Model", "Stream"]
