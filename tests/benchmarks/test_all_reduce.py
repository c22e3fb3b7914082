"""The bytes that two workers send each other: counted, measured, and told in docs/scaling.md."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import all_reduce

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published():
    return json.loads((ROOT / "benchmarks" / "results" / "all_reduce.json").read_text())


def test_a_ring_of_two_sends_the_gradients_once_and_a_large_one_nearly_twice():
    assert all_reduce.ring(1, 1000) == 0
    assert all_reduce.ring(2, 1000) == 1000
    assert all_reduce.ring(8, 1000) == 1750
    assert all_reduce.ring(100, 1000) == 1980


def test_the_guide_has_the_published_figures(published):
    guide = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert all_reduce.table(published) in guide


def test_what_was_measured_is_what_the_formula_says(published):
    assert published["network"] == "of its own"
    ways = published["bytes per step and worker"]
    for found in ways.values():
        assert found["measured"] == pytest.approx(found["gradients"], rel=0.01)
    assert ways["dense"]["measured"] / ways["packed"]["measured"] == pytest.approx(9.3, abs=0.1)


@pytest.mark.slow
def test_it_can_be_measured_again(tmp_path):
    """Of a small layer, whose few bytes have more of the protocol's own beside them."""
    command = [sys.executable, "-m", "benchmarks.all_reduce", "--units", "96", "--inputs", "32"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    run = subprocess.run(
        [*command, "--steps", "10", "--results", tmp_path],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    ways = json.loads((tmp_path / "all_reduce.json").read_text())["bytes per step and worker"]
    assert ways["dense"]["gradients"] == ways["masked"]["gradients"]
    assert ways["dense"]["gradients"] > 5 * ways["packed"]["gradients"]
    for found in ways.values():
        assert found["measured"] >= found["gradients"]
