"""A covariance that is added up batch by batch."""

import numpy as np

from keras_sparse_rnn.multi_worker.workers import sum_of_workers


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


def of_all_workers(covariances, strategy):
    """The covariances of the samples of all workers together: a list like `covariances`, which
    each worker has of its own samples. They are merged as batches are.
    """
    sums = sum_of_workers(
        [part for one in covariances for part in (one.count, one.count * one.mean)], strategy
    )
    merged = []
    for one, count, total in zip(covariances, sums[::2], sums[1::2]):
        whole = Covariance(len(one.mean))
        whole.count, whole.mean = int(count), total / max(count, 1)
        difference = one.mean - whole.mean
        whole.scatter = one.scatter + one.count * np.outer(difference, difference)
        merged.append(whole)
    for whole, scatter in zip(merged, sum_of_workers([one.scatter for one in merged], strategy)):
        whole.scatter = scatter
    return merged
