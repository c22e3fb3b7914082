"""A covariance that is added up batch by batch."""

import numpy as np


class Covariance:
    """Mean and covariance of samples that come in batches and are not kept, in float64.

    Batches are merged by their means and scatters (Chan, Golub and LeVeque 1983, "Algorithms for
    computing the sample variance"), not by sums of squares, so a large mean costs no precision.

    Attributes:
        count: samples so far.
        mean: `[n]`.
        scatter: `[n, n]`, the sum of `(x - mean) (x - mean)^T`.
    """

    def __init__(self, n):
        self.count = 0
        self.mean = np.zeros(n)
        self.scatter = np.zeros((n, n))

    def add(self, samples):
        """Adds `samples`, `[m, n]` of any float dtype; `m` may be 0."""
        samples = np.asarray(samples, np.float64)
        if not len(samples):
            return
        mean = samples.mean(axis=0)
        centred = samples - mean
        difference = mean - self.mean
        total = self.count + len(samples)
        self.scatter += centred.T @ centred + np.outer(difference, difference) * (
            self.count * len(samples) / total
        )
        self.mean += difference * (len(samples) / total)
        self.count = total

    @property
    def matrix(self):
        """The covariance `[n, n]`: the scatter divided by `count`."""
        return self.scatter / max(self.count, 1)
