import sys
import time

import pytest

from benchmarks.process import Failed, Skipped, Team, Worker

SCRIPT = """
import json, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    fields = json.loads(line)
    if fields["command"] == "die":
        sys.exit("these were its last words")
    if fields["command"] == "sleep":
        time.sleep(60)
    failed = fields["command"] == "fail"
    print(json.dumps({"failed": "ValueError: no"} if failed else {"echo": fields}), flush=True)
"""


@pytest.fixture
def worker(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    made = Worker("fake", 2, tmp_path, patience=20.0, command=(sys.executable, str(script)))
    yield made
    made.close()


def test_answers_come_back(worker):
    assert worker.ask("hello", number=3) == {"echo": {"command": "hello", "number": 3}}
    process = worker.process
    with pytest.raises(Failed, match="^ValueError: no$"):
        worker.ask("fail")
    worker.ask("hello")
    assert worker.process is process  # it lives through an error


def test_one_that_dies_says_its_last_words_and_starts_again(worker):
    with pytest.raises(
        Failed, match="the process ended. The last lines it wrote: these were its last words"
    ):
        worker.ask("die")
    assert worker.ask("hello") == {"echo": {"command": "hello"}}


def test_one_that_hangs_is_ended(worker):
    worker.ask("hello")
    worker.patience = 0.3
    start = time.monotonic()
    with pytest.raises(Failed, match="no answer in 0.3 seconds"):
        worker.ask("sleep")
    assert worker.process is None and time.monotonic() - start < 20


def test_one_that_is_missing_is_asked_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text('print(\'{"skipped": "there is none"}\', flush=True)')
    worker = Worker("fake", 1, tmp_path, patience=20.0, command=(sys.executable, str(script)))
    for _ in range(2):
        with pytest.raises(Skipped, match="there is none"):
            worker.ask("hello")
        script.unlink(missing_ok=True)


def test_a_team_does_without_those_who_were_left_out():
    with Team(1, only=["keras"]) as team:
        with pytest.raises(Skipped, match="left out by --peers"):
            team["torch"]
        assert team["reference"].peer == "reference"  # always needed


def test_a_peer_that_is_not_installed_says_so(monkeypatch):
    from benchmarks import peers
    from benchmarks.peers.base import Unavailable

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "benchmarks.peers.torch_peer", raising=False)
    with pytest.raises(Unavailable) as error:
        peers.make("torch", 1)
    assert str(error.value) == 'torch is not installed; pip install ".[benchmark]" brings it'
