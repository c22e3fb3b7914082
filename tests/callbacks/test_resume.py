"""A run that is killed and resumed ends with the same masks, to the bit, as one that was left in
peace.
"""

import functools
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning

# Keras itself calls NumPy in this way when it saves a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SCRIPT = pathlib.Path(__file__).with_name("resume_run.py")
spec = importlib.util.spec_from_file_location("resume_run", SCRIPT)
resume_run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(resume_run)

SCHEDULES = {"count": resume_run.COUNT, "threshold": resume_run.RAMP}


def assert_same(resumed, whole):
    (masks, weights), (expected_masks, expected_weights) = resumed, whole
    assert masks.keys() == expected_masks.keys()
    for name, live in expected_masks.items():
        assert 0.3 < 1 - live.mean() < 0.95, "or the test would be empty"
        np.testing.assert_array_equal(masks[name], live)
    for a, b in zip(weights, expected_weights):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def backups(tmp_path_factory):
    """What runs that were killed in processes of their own have left."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, SCRIPT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = {
        case: subprocess.Popen(
            [*command, case, folder / case, "14"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for case in resume_run.CASES
    }
    for case, process in runs.items():
        _, errors = process.communicate(timeout=200)
        assert process.returncode == -signal.SIGKILL, errors[-3000:]
        assert (folder / case / "latest.weights.h5").exists()
    return folder


@pytest.mark.parametrize("case", resume_run.CASES)
@pytest.mark.quick_cases
def test_killed_and_resumed_in_another_process(case, backups):
    arguments = dict(resume_run.CASES[case])
    resumed = resume_run.run(**arguments, backup_dir=backups / case)
    assert_same(
        resumed,
        resume_run.run(
            arguments["schedule"], steps_per_execution=arguments.get("steps_per_execution", 1)
        ),
    )


class Killed(Exception):
    pass


def die(model):
    raise Killed


@pytest.fixture(scope="module")
def whole():
    """whole(name, steps per execution): the run that was left in peace."""
    return functools.cache(
        lambda name, steps: resume_run.run(SCHEDULES[name], steps_per_execution=steps)
    )


@pytest.mark.parametrize(
    ("step", "before", "name"),
    [
        pytest.param(1, True, "count", marks=pytest.mark.slow),
        pytest.param(10, False, "count", marks=pytest.mark.slow),
        (7, True, "threshold"),
        pytest.param(10, True, "threshold", marks=pytest.mark.slow),
        (10, False, "threshold"),
    ],
)
@pytest.mark.quick_cases
def test_resumed_from_any_step(step, before, name, whole, tmp_path):
    """From the first mask, another one, and the steps before the next mask, when the weights have
    moved since the last.
    """
    arguments = dict(
        schedule=SCHEDULES[name], backup_dir=tmp_path / "b", save_freq=1, before=before
    )
    with pytest.raises(Killed):
        resume_run.run(**arguments, last_words=(step, die))
    assert_same(resume_run.run(**arguments), whole(name, 1))


def test_resumed_under_several_steps_per_execution(whole, tmp_path):
    arguments = dict(
        schedule=resume_run.RAMP, backup_dir=tmp_path / "b", save_freq=3, steps_per_execution=3
    )
    with pytest.raises(Killed):
        resume_run.run(**arguments, last_words=(9, die))
    assert_same(resume_run.run(**arguments), whole("threshold", 3))


@pytest.mark.slow
def test_resumed_twice(whole, tmp_path):
    arguments = dict(schedule=resume_run.RAMP, backup_dir=tmp_path / "b", save_freq=1)
    for step in (4, 12):
        with pytest.raises(Killed):
            resume_run.run(**arguments, last_words=(step, die))
    assert_same(resume_run.run(**arguments), whole("threshold", 1))


def test_weights_saved_before_the_mask_was_taken(make_model, data):
    """In a loop of one's own that saves before it calls the hook: the mask is taken when the run
    goes on.
    """

    def start(model):
        pruning = BlockPruning(resume_run.COUNT, (3, 2), frequency=2)
        pruning.set_model(model)
        pruning.on_train_begin()
        pruning.on_train_batch_begin(0)
        return pruning

    whole, resumed = make_model(), make_model()
    whole.optimizer.iterations.assign(6)
    pruning = start(whole)
    resumed.set_weights(whole.get_weights())
    for model in (whole, resumed):
        model.optimizer.iterations.assign(
            7
        )  # a step has been made, and its hook has not been called
    pruning.on_train_batch_end(0)
    other = start(resumed)
    for name, live in pruning.masks.items():
        assert pruning.sparsity == pytest.approx(resume_run.COUNT(7), abs=0.08)
        np.testing.assert_array_equal(other.masks[name], live)
