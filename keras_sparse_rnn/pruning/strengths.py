"""Strengths of regularizers while they are multiplied with factors.

One regularizer may serve several models, and trainings of these may go on at a time. What its
strength is without a factor is kept until the last of them has given it back; also if one has
broken off, for the next one."""

import dataclasses
import weakref

from keras_sparse_rnn.selection import to_numpy


@dataclasses.dataclass
class _Kept:
    strength: float  # without a factor
    holders: weakref.WeakSet  # who multiplies it
    last: object = None  # who did so last, a weak reference


_kept: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def take(regularizer, holder):
    """Notes that `holder` is going to multiply the strength of `regularizer`."""
    if regularizer not in _kept:
        _kept[regularizer] = _Kept(float(to_numpy(regularizer.strength)), weakref.WeakSet())
    _kept[regularizer].holders.add(holder)


def multiply(regularizer, factor, holder):
    """Makes the strength `factor` times what it is without one."""
    kept = _kept[regularizer]
    regularizer.strength.assign(factor * kept.strength)
    kept.last = weakref.ref(holder)


def is_anothers(regularizer, holder):
    """Whether somebody else than `holder` was the last to change the strength."""
    last = _kept[regularizer].last
    return last is None or last() is not holder


def give_back(regularizer, holder):
    """Makes the strength what it is without a factor. Who else multiplies it does so again before
    the next step.
    """
    kept = _kept[regularizer]
    regularizer.strength.assign(kept.strength)
    kept.last = None
    kept.holders.discard(holder)
    if not kept.holders:
        del _kept[regularizer]
