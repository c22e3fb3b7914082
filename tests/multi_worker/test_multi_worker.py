"""Two workers, in processes of their own, train what one process trains."""

import functools
import json
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
import training_worker
from starting import results, several_workers, start

# Keras itself calls NumPy in this way when it saves a model.
pytestmark = [
    pytest.mark.slow,  # three processes at a time: `make test-processes` runs them
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    several_workers,
]

CASES = (
    "keras_alone",
    "pruning",
    "recipe",
    "look_at_data",
    "different_weights",
    "handed_out",
    "saved_by_chief",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two workers have left what they have found."""
    folder = tmp_path_factory.mktemp("workers")
    codes, errors = start(folder, *CASES)
    assert codes == [0, 0], errors
    return folder


@pytest.fixture
def two_workers(folder):
    """two_workers(case): what each of two workers has found."""
    return lambda case: results(folder, case)


@functools.cache
def alone(case):
    """What one process finds, in Keras as it is."""
    return getattr(training_worker, case)(tf.distribute.get_strategy())


def test_keras_itself_fails_under_several_workers_or_the_remedy_does_nothing(two_workers):
    """When Keras has mended its `fit`, the remedy says so, and can go."""
    for worker in two_workers("keras_alone"):
        if worker["error"] is None:
            assert worker["enabled"] == []
        else:
            assert "Attempt to convert a value (PerReplica" in worker["error"]
            assert worker["enabled"] == [
                "TensorFlowTrainer._maybe_symbolic_build",
                "reduce_per_replica",
            ]


@pytest.mark.parametrize("case", ["pruning", "recipe"])
def test_losses_are_those_of_one_process_with_the_whole_batch(case, two_workers):
    expected = alone(case)
    for worker in two_workers(case):
        assert len(worker["losses"]) == training_worker.STEPS
        np.testing.assert_allclose(worker["losses"], expected["losses"], rtol=0, atol=1e-4)
        for name in ("loss", "mae"):
            np.testing.assert_allclose(
                worker["history"][name], expected["history"][name], rtol=0, atol=1e-4
            )


@pytest.mark.parametrize("case", ["pruning", "recipe"])
def test_masks_and_weights_are_the_same_to_the_bit_on_all_workers(case, two_workers):
    first, second = two_workers(case)
    assert first == second
    assert first["sparsities"][-1] == pytest.approx(0.8, abs=0.02)


def test_logs_have_the_sparsity(two_workers):
    expected = alone("pruning")
    for worker in two_workers("pruning"):
        assert worker["sparsities"] == expected["sparsities"]
        assert worker["history"]["sparsity"] == expected["history"]["sparsity"]
        assert worker["history"]["sparsity"][-1] == pytest.approx(0.8, abs=0.02)


def test_evaluate_and_predict_go_over_all_data(two_workers):
    expected = alone("pruning")
    for worker in two_workers("pruning"):
        np.testing.assert_allclose(worker["predicted"], expected["predicted"], atol=1e-4)
        for name in ("loss", "mae"):
            assert worker["evaluated"][name] == pytest.approx(expected["evaluated"][name], abs=1e-4)


@pytest.mark.parametrize("name", ["taylor", "geometric", "regrowth"])
def test_what_looks_at_data_looks_at_that_of_all_workers(name, two_workers):
    """One worker has three batches, the other a fourth: masks are those of one process with all
    four.
    """
    expected = alone("look_at_data")[name]
    first, second = (worker[name] for worker in two_workers("look_at_data"))
    assert first == second
    assert first["masks"] == expected["masks"]
    np.testing.assert_allclose(first["losses"], expected["losses"], rtol=0, atol=1e-4)


def test_workers_with_different_weights_are_refused_in_words(two_workers):
    for worker in two_workers("different_weights"):
        assert worker["error"] == (
            "The weights of the kernels that are pruned must be the same on all workers. 1 of 2 "
            "workers have others than the chief: load the same file on each, or let "
            "ksr.multi_worker.BackupAndRestore hand out the chief's."
        )


def test_the_chief_hands_out_its_backup(two_workers):
    """The second training begins where the first was left, also on the worker that saw no backup
    and had other weights.
    """
    first, second = two_workers("handed_out")
    assert first["first"]["steps"] == 2 * first["second"]["steps"] == 10
    assert first["first"] == second["first"] and first["second"] == second["second"]
    assert "seen-by-0" in first["files"] and "seen-by-1" not in first["files"]


def test_the_chief_may_save_alone_in_the_middle(two_workers, folder):
    """The file is a plain Keras model, and the training goes on."""
    first, second = two_workers("saved_by_chief")
    assert first == second
    there = json.loads((folder / "chief.json").read_text())
    assert there != first["weights"]
    assert training_worker.weights(keras.models.load_model(folder / "chief.keras")) == there


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_and_started_again_goes_on_with_the_same_masks(tmp_path):
    """The other worker ends with an error; both are started again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    (broken / "kill").mkdir(parents=True)
    codes, errors = start(broken, "killed")
    assert codes[1] == -signal.SIGKILL and codes[0] not in (0, None), errors
    assert "UnavailableError" in errors
    (broken / "kill").rmdir()
    for folder in (broken, whole):
        codes, errors = start(folder, "killed")
        assert codes == [0, 0], errors
    first, second = results(broken, "killed")
    assert first == second
    (expected, _) = results(whole, "killed")
    assert (first["steps"], expected["steps"]) == (15, 20)
    assert first["masks"] == expected["masks"] and first["weights"] == expected["weights"]
