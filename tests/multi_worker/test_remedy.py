"""The remedy for Keras's `fit` under several workers: when it is applied, and when it is not."""

import keras
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import trainer
from starting import several_workers

from keras_sparse_rnn import multi_worker

pytestmark = several_workers

BOTH = ("TensorFlowTrainer._maybe_symbolic_build", "reduce_per_replica")


@pytest.fixture(autouse=True)
def of_keras(monkeypatch):
    """What is replaced in a test is put back after it."""
    monkeypatch.setattr(trainer, "reduce_per_replica", trainer.reduce_per_replica)
    build = trainer.TensorFlowTrainer._maybe_symbolic_build
    monkeypatch.setattr(trainer.TensorFlowTrainer, "_maybe_symbolic_build", build)


def message(what):
    return (
        "ksr.multi_worker.enable() was written for Keras 3.15.1, and Keras "
        f"{keras.__version__} has changed keras.src.backend.tensorflow.trainer since: {what}. Try "
        "`fit` without it, for Keras may have mended what it mends; else train by a loop of your "
        "own, which needs no remedy (docs/scaling.md)."
    )


def test_both_functions_are_replaced_once():
    assert multi_worker.enable() == BOTH
    replaced = trainer.reduce_per_replica
    assert multi_worker.enable() == BOTH
    assert trainer.reduce_per_replica is replaced


def test_a_keras_whose_metrics_are_wrong_under_several_workers_is_refused(monkeypatch):
    owner = next(one for one in keras.Variable.__mro__ if "synchronization" in vars(one))
    monkeypatch.delattr(owner, "synchronization")
    with pytest.raises(RuntimeError) as error:
        multi_worker.enable()
    assert str(error.value) == (
        "Training on several workers needs Keras 3.10 or later: before, every batch adds up the "
        "totals of all workers' losses and metrics anew, and logs wrong means. Received: Keras "
        f"{keras.__version__}"
    )


def test_importing_the_package_replaces_nothing():
    assert trainer.reduce_per_replica.__module__ == trainer.__name__
    assert trainer.TensorFlowTrainer._maybe_symbolic_build.__module__ == trainer.__name__


def test_without_a_strategy_fit_is_what_it_was():
    def train():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("adam", "mse")
        return model.fit(tf.ones((8, 3)), tf.ones((8, 2)), epochs=2, verbose=0).history["loss"]

    before = train()
    multi_worker.enable()
    assert train() == before


def test_what_keras_has_mended_is_left_alone(monkeypatch):
    def reduce_per_replica(values, strategy, reduction):
        return keras.tree.map_structure(lambda v: strategy.experimental_local_results(v)[0], values)

    def build(self, iterator=None, data_batch=None):
        batch = next(next(iter(iterator))[-1])
        self._symbolic_build(data_batch=batch)

    monkeypatch.setattr(trainer, "reduce_per_replica", reduce_per_replica)
    assert multi_worker.enable() == BOTH[:1]
    monkeypatch.setattr(trainer.TensorFlowTrainer, "_maybe_symbolic_build", build)
    assert multi_worker.enable() == ()
    assert trainer.reduce_per_replica is reduce_per_replica
    assert trainer.TensorFlowTrainer._maybe_symbolic_build is build


@pytest.mark.parametrize("axis", [None, 0])
def test_a_mean_over_the_replicas_alone_is_a_mended_one(axis, monkeypatch):
    def reduce_per_replica(values, strategy, reduction):
        return strategy.reduce("MEAN", values, axis=axis)

    monkeypatch.setattr(trainer, "reduce_per_replica", reduce_per_replica)
    assert multi_worker.enable() == (BOTH if axis == 0 else BOTH[:1])


def test_a_function_that_is_gone_is_told(monkeypatch):
    monkeypatch.delattr(trainer, "reduce_per_replica")
    with pytest.raises(RuntimeError) as error:
        multi_worker.enable()
    assert str(error.value) == message(
        "module 'keras.src.backend.tensorflow.trainer' has no attribute 'reduce_per_replica'"
    )


def test_a_function_that_takes_something_else_is_told_and_nothing_is_replaced(monkeypatch):
    monkeypatch.setattr(trainer, "reduce_per_replica", lambda values, strategy: values)
    build = trainer.TensorFlowTrainer._maybe_symbolic_build
    with pytest.raises(RuntimeError) as error:
        multi_worker.enable()
    assert str(error.value) == message(
        "reduce_per_replica raises TypeError: "
        "test_a_function_that_takes_something_else_is_told_and_nothing_is_replaced.<locals>.<lambda>"
        "() takes 2 positional arguments but 3 were given"
    )
    assert trainer.TensorFlowTrainer._maybe_symbolic_build is build
