"""Blocks chosen by chance, in memory of the chosen ones: the kernel may be larger than the
machine.
"""

import numpy as np


def distinct(generator, total, count):
    """`count` different numbers of those from 0 to `total - 1`, int64, ascending. All sets of them
    are equally likely.
    """
    if 2 * count > total:
        left_out = distinct(generator, total, total - count)
        return np.setdiff1d(np.arange(total), left_out, assume_unique=True)
    found = np.zeros(0, np.int64)
    while found.size < count:
        found = np.union1d(found, generator.integers(total, size=count - found.size))
    return found


def among_others(generator, total, count, taken):
    """`count` different numbers from 0 to `total - 1` beside those that are `taken` (ascending),
    int64, ascending.
    """
    places = distinct(generator, total - len(taken), count)
    return places + np.searchsorted(taken - np.arange(len(taken)), places, side="right")
