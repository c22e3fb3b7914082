import json

import pytest

from benchmarks import machine
from benchmarks.problems import Case, Problem
from benchmarks.results import Results, fastest_dense

PROBLEM = Problem("sweep", "forward", "lstm", 8, 1, 2, (Case("keras"), Case("ours")))
HERE = {"processor": "some", "threads": 2}


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path / "new" / "results.json")
    made.belongs_to(HERE)
    return made


def test_a_finished_problem_is_known_when_the_file_is_read_again(results):
    assert not results.has(PROBLEM)
    results.add(PROBLEM, [{"peer": "keras", "median": 1.0}, {"peer": "ours", "median": 2.0}])
    again = Results(results.path)
    assert again.has(PROBLEM)
    assert not again.has(Problem(**{**vars(PROBLEM), "rounds": 9}))
    assert [file.name for file in results.path.parent.iterdir()] == ["results.json"]


def test_another_version_of_the_package_is_measured_again(results, monkeypatch):
    results.add(PROBLEM, [])
    monkeypatch.setattr(machine, "fingerprint", lambda: "another")
    assert not Results(results.path).has(PROBLEM)


def test_a_file_of_another_machine_is_refused(results):
    results.save()
    with pytest.raises(ValueError) as error:
        Results(results.path).belongs_to({"processor": "some", "threads": 4})
    assert (
        str(error.value)
        == f"`--out` must not mix machines: {results.path} has results of threads=2. Received: "
        "threads=4"
    )


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', "[1]"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(
        ValueError, match="`--out` must be a file of results, of format 1, or a new one. Received: "
    ):
        Results(path)
    assert path.read_text() == content


def test_a_broken_write_leaves_the_old_file(results, monkeypatch):
    results.save()
    before = results.path.read_text()
    monkeypatch.setattr("os.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.save()
    assert results.path.read_text() == before
    assert [file.name for file in results.path.parent.iterdir()] == ["results.json"]


def test_the_fastest_is_a_dense_one_that_was_measured():
    cases = {
        Case("keras"): {"median": 3.0},
        Case("torch"): {"median": 2.0},
        Case("onnxruntime"): {"failed": ""},
        Case("ours"): {"median": 1.0},
    }
    cases[Case("litert", form="sparse")] = {"median": 0.5}
    assert fastest_dense(cases) == ("torch", 2.0)
    assert fastest_dense({}) == (None, None)


def test_the_machine_is_described():
    found = machine.describe(3)
    assert found["threads"] == 3 and found["cores"] >= 1 and found["versions"]["keras"]
    json.dumps(found)
    assert machine.fingerprint() == machine.fingerprint()
