"""`model.fit` under `tf.distribute.MultiWorkerMirroredStrategy`, which Keras 3.15.1 cannot do.

Keras fails there with any model, in two places of `keras/src/backend/tensorflow/trainer.py`:

1. `TensorFlowTrainer._maybe_symbolic_build` wants to know the shapes of a batch, and calls
   `strategy.reduce("MEAN", batch, axis=None)` with the whole batch, a tuple `(x, y)` of per-replica
   values. `reduce` takes one value, not a nest. `MirroredStrategy` happens to hand the tuple back
   as it is; with several workers TensorFlow tries to make a tensor of it: "Attempt to convert a
   value (PerReplica ...) with an unsupported type to a Tensor". It would fail, too, where the
   workers have batches of different sizes, for which there is no mean.
   **Remedy:** Keras is given the batch of this worker's own first replica: its shapes are all that
   is looked at, and nobody else has to be asked.

2. `reduce_per_replica` then averages the logs of a step, scalars, with `strategy.reduce("MEAN",
   value, axis=0)`. `axis=0` asks for a mean over the batch axis inside each replica as well, which
   a scalar has not.
   **Remedy:** `axis=None`, the mean over the replicas alone: what Keras does under
   `MirroredStrategy`, and what the docstring of `reduce_per_replica` promises.

Nothing else of Keras is touched: the step, the gradients and their all-reduce, `evaluate`,
`predict` and the metrics at the end of an epoch are Keras's own. `enable` looks at what the two
functions do and replaces only those that do what is told above. A training loop of one's own needs
none of this (docs/scaling.md). This module can go when Keras mends both."""

import contextlib

import keras
import tensorflow as tf

from keras_sparse_rnn.multi_worker.workers import worker_count

MODULE = "keras.src.backend.tensorflow.trainer"


def enable():
    """Makes `model.fit` work under `tf.distribute.MultiWorkerMirroredStrategy`: call it once in
    each worker's program, before `fit`.

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        ksr.multi_worker.enable()
        with strategy.scope():
            model = ...
            model.compile(...)
        model.fit(...)

    It replaces the two functions of Keras that fail there (see the module's docstring), for this
    process; under any other strategy both do what they did. It does nothing where Keras has mended
    them, and nothing the second time.

    Returns:
        tuple of the names of what is replaced: empty if nothing has to be.

    Raises:
        RuntimeError: Keras is older than 3.10, or its code has changed, so that it cannot be told
            whether it fails.
    """
    if not hasattr(keras.Variable, "synchronization"):
        raise RuntimeError(
            "Training on several workers needs Keras 3.10 or later: before, every batch adds up "
            "the totals of all workers' losses and metrics anew, and logs wrong means. Received: "
            f"Keras {keras.__version__}"
        )
    trainer = _trainer()
    nests, scalars = _reduces_nests(trainer), _averages_scalars_over_axis_0(trainer)
    if nests:
        build = _build_from_own_shapes(trainer.TensorFlowTrainer._maybe_symbolic_build)
        trainer.TensorFlowTrainer._maybe_symbolic_build = build
    if scalars:
        trainer.reduce_per_replica = _mean_over_replicas(trainer.reduce_per_replica)
    replaced = {
        "TensorFlowTrainer._maybe_symbolic_build": (
            hasattr(trainer.TensorFlowTrainer._maybe_symbolic_build, "of_keras")
        ),
        "reduce_per_replica": hasattr(trainer.reduce_per_replica, "of_keras"),
    }
    return tuple(name for name, ours in replaced.items() if ours)


def _build_from_own_shapes(of_keras):
    """`TensorFlowTrainer._maybe_symbolic_build` with the remedy: given a batch in place of the
    iterator.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self.distribute_strategy
        if iterator is None or worker_count(strategy) == 1:
            return of_keras(self, iterator=iterator, data_batch=data_batch)
        for *_, batches in iterator:
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], next(batches)
            )
            break
        return of_keras(self, data_batch=data_batch)

    _maybe_symbolic_build.of_keras = of_keras  # type: ignore[attr-defined]
    return _maybe_symbolic_build


def _mean_over_replicas(of_keras):
    """`reduce_per_replica` with the remedy."""

    def reduce_per_replica(values, strategy, reduction):
        if worker_count(strategy) > 1 and reduction in ("auto", "mean"):
            return keras.tree.map_structure(
                lambda value: strategy.reduce("MEAN", value, axis=None), values
            )
        return of_keras(values, strategy, reduction)

    reduce_per_replica.of_keras = of_keras  # type: ignore[attr-defined]
    return reduce_per_replica


def _trainer():
    """Keras's module, with what is replaced here."""
    try:
        from keras.src.backend.tensorflow import trainer

        for holder, name in (
            (trainer, "reduce_per_replica"),
            (trainer.TensorFlowTrainer, "_maybe_symbolic_build"),
        ):
            getattr(holder, name)
    except (ImportError, AttributeError) as error:
        raise _changed(str(error)) from None
    return trainer


class _Asked(Exception):
    """What Keras's function asked of the strategy: `(value, axis)` of a `reduce`."""


class _SeveralWorkers:
    """What Keras looks at to tell whether there are several workers."""

    def _in_multi_worker_mode(self):
        return True


class _Probe(tf.distribute.MultiWorkerMirroredStrategy):
    """Stands for a strategy with two workers, and raises what it is asked to reduce."""

    extended = _SeveralWorkers()

    def __init__(self):
        """Of no cluster."""

    def scope(self):
        return contextlib.nullcontext()

    def experimental_distribute_dataset(self, dataset):
        """A dataset of one batch, whatever `dataset` is."""
        return [(_PerReplica(), _PerReplica())]

    def experimental_local_results(self, value):
        return (value,)

    def reduce(self, reduce_op, value, axis=None):
        raise _Asked(value, axis)


class _Model:
    """Stands for a model that was made under that strategy."""

    def __init__(self):
        self.distribute_strategy = self._distribute_strategy = _Probe()

    def _symbolic_build(self, data_batch):
        """Reached once Keras has mended what comes before."""


class _PerReplica(tf.distribute.DistributedValues):
    """Stands for what a distributed dataset yields."""


def _reduces_nests(trainer):
    """Whether `_maybe_symbolic_build` has a whole batch reduced."""
    build = trainer.TensorFlowTrainer._maybe_symbolic_build

    def call():
        epoch = trainer.TFEpochIterator(x=tf.zeros((1, 1)), distribute_strategy=_Probe())
        build(_Model(), iterator=epoch)

    return not hasattr(build, "of_keras") and _asks(
        call,
        lambda value, axis: isinstance(value, tuple),
        "TensorFlowTrainer._maybe_symbolic_build",
    )


def _averages_scalars_over_axis_0(trainer):
    """Whether `reduce_per_replica` has scalars averaged over an axis that they have not."""
    reduce_per_replica = trainer.reduce_per_replica
    return not hasattr(reduce_per_replica, "of_keras") and _asks(
        lambda: reduce_per_replica(tf.constant(1.0), _Probe(), "auto"),
        lambda value, axis: axis == 0,
        "reduce_per_replica",
    )


def _asks(call, fails, name):
    """Whether `call` asks to reduce what `fails` tells to fail."""
    try:
        call()
    except _Asked as asked:
        return fails(*asked.args)
    except Exception as error:
        raise _changed(f"{name} raises {type(error).__name__}: {error}") from error
    return False


def _changed(what):
    return RuntimeError(
        "ksr.multi_worker.enable() was written for Keras 3.15.1, and Keras "
        f"{keras.__version__} has changed {MODULE} since: {what}. Try `fit` without it, for Keras "
        "may have mended what it mends; else train by a loop of your own, which needs no remedy "
        "(docs/scaling.md)."
    )
