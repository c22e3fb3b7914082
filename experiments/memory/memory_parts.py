"""Which sequences are trained on, which settings are chosen by, and which are the test. Every
sequence belongs to one part for good, whatever the seed, so no test sequence can occur in training.
"""

import numpy as np

TENTHS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}


def tenth_of(keys):
    """A number from 0 to 9 for each sequence, which depends on its key alone: int `[count]`.

    Args:
        keys: what tells sequences apart, int `[count, length]`.
    """
    weights = np.random.default_rng(0).integers(2**63, size=keys.shape[1], dtype=np.uint64)
    mixed = ((keys.astype(np.uint64) + np.uint64(1)) * weights).sum(axis=1)  # wraps around
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed >> np.uint64(32)) % np.uint64(10)).astype(int)


def draw(made, count, seed, part):
    """The first `count` sequences of a part, out of those that a seed gives.

    Args:
        made: function of a generator and of a number, which gives so many keys, as `tenth_of` takes
            them, and arrays of as many rows.
        count: how many are wanted.
        seed: an integer.
        part: one of `TENTHS`.

    Returns:
        the arrays, each of `count` rows.
    """
    generator = np.random.default_rng([seed, list(TENTHS).index(part)])
    kept, found = [], 0
    while found < count:
        keys, *arrays = made(generator, 12 * (count - found) // len(TENTHS[part]) + 20)
        ours = np.isin(tenth_of(keys), TENTHS[part])
        kept.append([array[ours] for array in arrays])
        found += np.count_nonzero(ours)
    return tuple(np.concatenate(arrays)[:count] for arrays in zip(*kept))
