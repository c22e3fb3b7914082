"""The channels of a model's tensors: which of them are there together, and which never change."""

import dataclasses

import numpy as np

VARIES = np.nan


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """The last axis of a tensor.

    Args:
        labels: int `[channels]`: which unit it is that a channel comes from, see `Forest`.
        values: float64 `[channels]`: the number that a channel always is, whatever the model is
            given, or `VARIES`.
    """

    labels: np.ndarray
    values: np.ndarray

    def __len__(self):
        return len(self.labels)

    @property
    def varies(self):
        """Which channels are not known to be constant, bool `[channels]`."""
        return np.isnan(self.values)

    @property
    def constants(self):
        """The values, 0 where a channel varies."""
        return np.where(self.varies, 0.0, self.values)

    def with_values(self, values):
        """The same units with other values."""
        return Channels(self.labels, values)


def concatenated(parts):
    """The channels of several tensors one behind the other."""
    return Channels(
        np.concatenate([one.labels for one in parts]), np.concatenate([one.values for one in parts])
    )


class Forest:
    """Labels, of which some are tied: what they stand for stays or goes together."""

    def __init__(self):
        self._parents = []

    def __len__(self):
        return len(self._parents)

    def grow(self, count):
        """`count` new labels, tied to none, int `[count]`."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def tie(self, ones, others):
        """Ties labels pair by pair."""
        for one, other in zip(self.roots(ones), self.roots(others)):
            self._parents[self._root(other)] = self._root(one)

    def roots(self, labels):
        """The one label that stands for all that are tied to it, for each of `labels`."""
        return np.array([self._root(label) for label in labels], int)

    def _root(self, label):
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label
