"""What the workers of a `tf.distribute.MultiWorkerMirroredStrategy` tell each other outside the
training step.

Every worker runs the same program, so all of these are called by every worker, at the same place:
whoever calls one alone waits for the others. With one worker, or under another strategy, there is
nobody to tell, and they return what they were given."""

import hashlib

import numpy as np
import tensorflow as tf


def worker_count(strategy):
    """How many processes train together under `strategy`."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return max(1, sum(cluster.num_tasks(job) for job in cluster.jobs if job in ("chief", "worker")))


def is_chief(strategy):
    """Whether this process is the one of the workers that writes files: task "chief", or "worker"
    0 if there is no chief.
    """
    if worker_count(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def mean_of_workers(arrays, strategy, weight=1.0):
    """The mean of what the workers have computed, the same to the bit on each of them.

    Args:
        arrays: a list of arrays, of the same shapes on all workers.
        strategy: of the model.
        weight: how much those of this worker count, such as the number of its batches.

    Returns:
        a list of float64 arrays; with one worker, `arrays`.
    """
    if worker_count(strategy) == 1:
        return arrays
    total, *sums = _sum([weight, *(weight * np.asarray(a, np.float64) for a in arrays)], strategy)
    return [one / total for one in sums]


def sum_of_workers(arrays, strategy):
    """The sum of what the workers have computed: a list of float64 arrays; with one worker,
    `arrays`.
    """
    return arrays if worker_count(strategy) == 1 else _sum(arrays, strategy)


def from_chief(arrays, strategy):
    """What the chief has, in place of this worker's own.

    Args:
        arrays: a list of arrays of numbers or truth values, of the same shapes on all workers.
            They travel as float64, in which every dtype that weights have is exact.
        strategy: of the model.

    Returns:
        a list of arrays of the same dtypes.
    """
    if worker_count(strategy) == 1 or not arrays:
        return arrays
    arrays = [np.asarray(one) for one in arrays]
    share = 1 if is_chief(strategy) else 0
    sent = _sum([one if share else np.zeros(one.shape) for one in arrays], strategy)
    return [new.astype(one.dtype) for new, one in zip(sent, arrays)]


def check_same(arrays, strategy, what):
    """Raises on every worker if on one of them `arrays` are not what they are on the chief.

    Args:
        arrays: a list of arrays.
        strategy: of the model.
        what: they are, for the message.

    Raises:
        RuntimeError: they differ.
    """
    if worker_count(strategy) == 1:
        return
    digest = hashlib.sha256()
    for one in arrays:
        digest.update(np.ascontiguousarray(one).tobytes())
    own = np.frombuffer(digest.digest(), np.uint32)
    (chief,) = from_chief([own], strategy)
    (differing,) = _sum([np.any(own != chief)], strategy)
    if differing:
        raise RuntimeError(
            f"{what} must be the same on all workers. {int(differing)} of "
            f"{worker_count(strategy)} workers have others than the chief: load the same file on "
            "each, or let ksr.multi_worker.BackupAndRestore hand out the chief's."
        )


def _sum(arrays, strategy):
    arrays = [np.asarray(one, np.float64) for one in arrays]
    flat = np.concatenate([one.ravel() for one in arrays])
    replicas = strategy.num_replicas_in_sync // worker_count(strategy)

    def share(context):
        """A worker speaks once, by the first of its replicas."""
        first = context.replica_id_in_sync_group % replicas == 0
        return tf.constant(flat if first else np.zeros_like(flat))

    shares = strategy.experimental_distribute_values_from_function(share)
    total = strategy.reduce("SUM", shares, axis=None).numpy()
    ends = np.cumsum([one.size for one in arrays])[:-1]
    return [part.reshape(one.shape) for part, one in zip(np.split(total, ends), arrays)]
