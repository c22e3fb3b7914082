"""Which units something reads, in the end."""

import numpy as np


def alive(walk):
    """Which labels of `walk` stay, bool `[labels]`: what is seen from outside, and what a unit that
    stays needs.

    A unit needs what it reads with a weight that is not zero, except constants that can go into its
    bias. So units that read only each other do not stay. A `Bidirectional` layer has as many units
    in both ways: there some stay though nothing reads them.
    """
    roots = walk.forest.roots(np.arange(len(walk.forest)))
    live = np.zeros(len(roots), bool)
    live[roots[np.array(walk.visible, int)]] = True
    links = [(roots[read.rows.labels], roots[read.units], read.links()) for read in walk.reads]
    pairs = [tuple(roots[one] for one in pair) for pair in walk.pairs]
    count = -1
    while count != live.sum():
        count = int(live.sum())
        for rows, units, needs in links:
            live[rows[needs[:, live[units]].any(axis=1)]] = True
        if count == live.sum():
            for pair in pairs:
                _even_out(live, *pair)
    return live[roots]


def _even_out(live, ones, others):
    """Lets as many of `ones` live as of `others`: the first ones."""
    fewer, more = sorted((ones, others), key=lambda pair: np.count_nonzero(live[pair]))
    lacking = np.count_nonzero(live[more]) - np.count_nonzero(live[fewer])
    live[fewer[~live[fewer]][:lacking]] = True
