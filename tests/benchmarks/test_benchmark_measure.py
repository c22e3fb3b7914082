import types

import numpy as np
import pytest

from benchmarks import measure
from benchmarks.problems import Case, Problem
from benchmarks.process import Failed, Skipped


class FakeWorker:
    """Answers at once, and notes what it was asked."""

    def __init__(self, peer, asked):
        self.peer, self.asked, self.count, self.disturbances = peer, asked, 0, []

    def ask(self, command, **fields):
        self.asked.append((self.peer, command))
        if self.peer == "torch":
            raise Failed("it broke")
        if self.peer == "onnxruntime":
            raise Skipped("there is none")
        if command == "expect":
            np.savez(fields["path"], outputs=np.ones(1))
        if command == "prepare":
            self.count += 1
            return {"number": self.count, "error": 1e-7}
        if command == "turn":
            if self.peer == "keras_xla":
                raise Failed("it broke later")
            return {
                "times": [1.0, 2.0, 6.0],
                "others": self.disturbances.pop(0) if self.disturbances else 0.0,
            }
        return {"counted": 5, "peak": 7}

    def start(self):
        pass

    def close(self):
        self.asked.append((self.peer, "close"))


class FakeTeam:
    def __init__(self, folder):
        self.asked, self.folder, self.workers = [], types.SimpleNamespace(name=str(folder)), {}
        self.threads = 2

    def __getitem__(self, peer):
        return self.workers.setdefault(peer, FakeWorker(peer, self.asked))

    def fresh(self, peer):
        return FakeWorker(peer, self.asked)

    def drop(self):
        self.asked.append(("all", "drop"))


@pytest.fixture
def team(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "PAUSE", 0.0)
    return FakeTeam(tmp_path)


def problem(*peers, **options):
    return Problem(
        "sweep", options.pop("mode", "forward"), "lstm", 8, 1, 2, tuple(map(Case, peers)), **options
    )


def test_cases_take_turns_forwards_and_backwards(team):
    steps = []
    given = problem("keras", "litert", "ours", rounds=3)
    found = measure.measure(given, team, lambda: steps.append(1))
    turns = [peer for peer, command in team.asked if command == "turn"]
    assert turns == [
        "keras",
        "litert",
        "ours",
        "ours",
        "litert",
        "keras",
        "keras",
        "litert",
        "ours",
    ]
    assert [record["peer"] for record in found] == ["keras", "litert", "ours"]
    assert (
        found[0]["median"] == 2.0
        and found[0]["calls"] == 9
        and found[0]["rounds"] == [2.0, 2.0, 2.0]
    )
    assert len(steps) == measure.work(given)
    assert team.asked[-1] == ("all", "drop")


def test_disturbed_turns_are_repeated_and_the_best_counts(team):
    team["ours"].disturbances = [
        0.05,
        0.5,
        0.3,
        0.4,
        0.9,
        0.0,
    ]  # one turn that is let pass, three that are not, two
    (found,) = measure.measure(problem("ours", rounds=3), team)
    assert found["others"] == 0.3 and found["calls"] == 9
    assert [command for _, command in team.asked].count("turn") == 6


def test_the_round_trip_before_each_turn_is_noted(team):
    trips = iter([9e-8, 5e-7, None])
    (found,) = measure.measure(problem("ours", rounds=3), team, round_trip=lambda: next(trips))
    assert found["round_trips"] == [9e-8, 5e-7, None]


def test_what_is_expected_is_computed_once_for_a_pattern_and_removed(team, tmp_path):
    measure.measure(problem("keras", "ours"), team)
    assert [peer for peer, command in team.asked if command == "expect"] == ["reference"]
    assert not list(tmp_path.iterdir())


def test_a_peer_that_fails_does_not_lose_the_others(team):
    found = measure.measure(problem("torch", "onnxruntime", "keras_xla", "ours"), team)
    assert [{"failed", "skipped", "median"} & set(record) for record in found] == [
        {"failed"},
        {"skipped"},
        {"failed"},
        {"median"},
    ]
    assert [record.get("failed") for record in found] == ["it broke", None, "it broke later", None]
    assert found[1]["skipped"] == "there is none"


def test_memory_is_measured_in_fresh_processes(team):
    found = measure.measure(problem("keras", "torch", "ours", mode="memory"), team)
    assert found[0]["counted"] == 5 and found[1]["failed"] == "it broke" and found[2]["peak"] == 7
    assert team.asked == [
        (peer, command) for peer in ("keras", "torch", "ours") for command in ("memory", "close")
    ]


def test_summary():
    found = measure.summary([[4.0, 1.0], [2.0, 3.0, 5.0]])
    assert found == {
        "median": 3.0,
        "min": 1.0,
        "q1": 2.0,
        "q3": 4.0,
        "calls": 5,
        "rounds": [2.5, 3.0],
    }
