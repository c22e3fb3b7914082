"""How much units are read."""

import numpy as np

from keras_sparse_rnn.units.refusals import refuse
from keras_sparse_rnn.units.walk import Walk


def outgoing_weights(model, layer):
    """The sum of the absolute weights by which each unit of `layer` is read, in its own layer and
    in all others, float64 `[units]`.

    Raises:
        ValueError: a layer of `model` cannot be seen through, or `layer` is none of those whose
            units are followed.
    """
    walk = Walk(model)
    parts = [part for part in walk.parts if part.layer is layer]
    if not parts:
        refuse(layer, "is not one whose units can be told", model)
    sums = np.zeros(len(walk.forest))
    for read in walk.reads:
        np.add.at(sums, read.rows.labels, np.abs(read.weights).sum(axis=(0, 2)))
    return sums[parts[0].units]
