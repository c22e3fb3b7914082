"""How much units are read."""

import numpy as np

from keras_sparse_rnn.units.refusals import refuse
from keras_sparse_rnn.units.walk import Walk


def outgoing_weights(model, layer):
    """The sum of the absolute weights by which each unit of `layer` is read, in its own layer and
    in all others, float64 `[units]`.

    Units that are added or merged, or that pass a state on, can only stay or go together. Each of
    them counts what all of them are read by.

    Raises:
        ValueError: a layer of `model` cannot be seen through, or `layer` is none of those whose
            units are followed.
    """
    walk = Walk(model)
    parts = [part for part in walk.parts if part.layer is layer]
    if not parts:
        refuse(layer, "is not one whose units can be told", model)
    roots = walk.forest.roots(np.arange(len(walk.forest)))
    sums = np.zeros(len(roots))
    for read in walk.reads:
        np.add.at(sums, roots[read.rows.labels], np.abs(read.weights).sum(axis=(0, 2)))
    return sums[roots[parts[0].units]]
