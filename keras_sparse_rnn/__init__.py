"""Block-sparse recurrent layers for Keras 3: train sparse, run only the live blocks, ship to
LiteRT.

>>> import keras_sparse_rnn as ksr
>>> schedule = ksr.schedules.PolynomialDecay(0.0, 0.9, begin_step=1000, end_step=5000)
>>> pruning = ksr.callbacks.BlockPruning(schedule, block_shape=(16, 16))  # a callback for `fit`

Then `ksr.substitute(model)` gives the same model in layers that compute live blocks only, and
`ksr.export_litert(model, path)` a file for LiteRT."""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_sparse_rnn needs Keras on the TensorFlow backend: set the environment variable "
        f"KERAS_BACKEND=tensorflow before keras is imported. Received: {keras.backend.backend()}"
    )

from keras_sparse_rnn import (
    activations,
    callbacks,
    constraints,
    criteria,
    export,
    geometry,
    layers,
    manifolds,
    multi_worker,
    ops,
    optimizers,
    patterns,
    plot,
    quantization,
    recipes,
    regularizers,
    schedules,
)
from keras_sparse_rnn.export import export_c, export_litert
from keras_sparse_rnn.pruning import prune
from keras_sparse_rnn.reordering import reorder_units
from keras_sparse_rnn.report import report
from keras_sparse_rnn.substitution import substitute, to_dense
from keras_sparse_rnn.units import remove_dead_units
from keras_sparse_rnn.version import version as _version

__version__ = _version()

__all__ = [
    "activations",
    "callbacks",
    "constraints",
    "criteria",
    "export",
    "export_c",
    "export_litert",
    "geometry",
    "layers",
    "manifolds",
    "multi_worker",
    "ops",
    "optimizers",
    "patterns",
    "plot",
    "prune",
    "quantization",
    "recipes",
    "regularizers",
    "remove_dead_units",
    "reorder_units",
    "report",
    "schedules",
    "substitute",
    "to_dense",
]
