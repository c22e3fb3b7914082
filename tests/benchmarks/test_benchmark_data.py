import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import groups
from benchmarks.data import SAMPLE, Data, largest_error, sample
from benchmarks.problems import SERIES, Case, Pattern, Problem
from keras_sparse_rnn.patterns import BlockGrid


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize(
    "pattern", [Pattern(), Pattern(0.7, (4, 4)), Pattern(0.9, (6, 10)), Pattern(0.99, (7, 1))]
)
def test_packed_and_dense_weights_are_the_same_and_sparse_to_the_block(cell, pattern):
    problem = Problem("sweep", "forward", cell, 37, 2, 3)
    data, grid = Data(problem), BlockGrid(37, 37, problem.gates, pattern.block_shape)
    per_gate = grid.rows * grid.columns
    for kernel, (values, blocks), count in zip(
        data.kernels(pattern), data.packed(pattern), data.live_weights(pattern)
    ):
        np.testing.assert_array_equal(grid.unpack(values, blocks), kernel)
        alive = grid.live(kernel).reshape(problem.gates, -1).sum(axis=1)
        assert set(alive) == {max(1, per_gate - round(pattern.sparsity * per_gate))}
        assert np.count_nonzero(kernel) == count


def test_the_two_kernels_and_the_gates_differ():
    problem, pattern = Problem("sweep", "forward", "lstm", 40, 1, 2), Pattern(0.5, (8, 8))
    first, second = Data(problem).blocks(pattern)
    assert not np.array_equal(first, second)
    assert len({tuple(gate % 25) for gate in first.reshape(4, -1)}) == 4


def test_another_process_makes_the_same_without_tensorflow():
    problem, pattern = Problem("sweep", "forward", "gru", 33, 2, 3), Pattern(0.5, (4, 4))
    code = (
        "import json, sys; from benchmarks.data import Data; from benchmarks.problems import *; "
        f"data = Data(Problem.from_json({problem.to_json()!r})); kernel = "
        "data.kernels(Pattern(0.5, (4, 4)))[1]; print(json.dumps([float(kernel.sum()), "
        "float(data.x.sum()), 'tensorflow' in sys.modules]))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    data = Data(problem)
    assert json.loads(found.stdout) == [
        float(data.kernels(pattern)[1].sum()),
        float(data.x.sum()),
        False,
    ]


def test_the_error_is_relative_and_tells_nan():
    expected = {"a": np.array([4.0, 0.0]), "b": np.array([1.0])}
    assert largest_error({"a": np.array([4.0, 1.0]), "b": np.array([1.1])}, expected) == 0.25
    assert np.isnan(largest_error({"a": np.array([4.0, np.nan]), "b": np.array([1.0])}, expected))


def test_samples_of_large_arrays_meet_every_column():
    columns = np.broadcast_to(np.arange(1024), (4096, 1024))
    assert sample(columns).size <= SAMPLE
    assert len(np.unique(sample(columns))) == 1024
    assert sample(columns[:3]).size == 3 * 1024


def test_problems_survive_json():
    for group in groups.GROUPS.values():
        for problem in group():
            assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


def test_every_problem_has_a_key_of_its_own_and_every_case_a_name():
    for problems in (
        [problem for group in groups.GROUPS.values() for problem in group()],
        groups.quick(),
    ):
        keys = [problem.key for problem in problems]
        assert len(set(keys)) == len(keys)
        for problem in problems:
            assert len(set(problem.cases)) == len(problem.cases)
            assert all((case.peer, case.form) in SERIES for case in problem.cases)


def test_quick_has_something_of_every_group():
    assert {problem.group for problem in groups.quick()} == set(groups.GROUPS)


def test_names():
    assert str(Case("ours", Pattern(0.95, (1, 16)), "int8")) == "ours, int8, 95 % in 1x16"
    assert (
        str(Problem("sweep", "forward", "gru", 256, 4, 100)) == "GRU forward, H 256, batch 4, T 100"
    )
