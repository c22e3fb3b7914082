import contextlib
import os
import shutil

import made_up
import pytest

from benchmarks import roofline
from benchmarks.problems import Case, Pattern, Problem

COMPILERS = "c++", "g++", "clang++"
needs_a_choice_of_processors = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="a process cannot choose its processors here"
)


@pytest.fixture
def program():
    if not any(map(shutil.which, COMPILERS)):
        pytest.skip("there is no C++ compiler")
    with roofline.Program() as compiled:
        yield compiled


@contextlib.contextmanager
def one_processor():
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.parametrize("by", ["roofline.cc", "NumPy"])
def test_the_machine_can_do_something(by, monkeypatch):
    if by == "NumPy":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif not any(map(shutil.which, COMPILERS)):
        pytest.skip("there is no C++ compiler")
    found = roofline.measure(2, quick=True)
    assert found["by"] == by and set(found["bandwidth"]) == {"1", "2"}
    assert all(rate > 1e8 for curve in found["bandwidth"].values() for _, rate in curve)
    assert dict(map(tuple, found["flops"]))[2] > 1e8


@needs_a_choice_of_processors
def test_round_trip_between_two_processors(program):
    if len(os.sched_getaffinity(0)) > 1:
        assert 1e-9 < program.round_trip() < 1e-3
    with one_processor():
        assert program.round_trip() is None


@needs_a_choice_of_processors
def test_threads_that_share_a_processor_are_all_counted(program):
    """One of them is then done before another begins, and on a busy machine, too."""
    with one_processor():
        found = program.run(2, 0.002, 65536)
    assert all(rate > 0 for curve in found["bandwidth"].values() for _, rate in curve)
    assert all(rate > 0 for _, rate in found["flops"])


def test_no_compiler_no_round_trip(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with roofline.Program() as program:
        assert program.round_trip() is None


def test_bandwidth_between_sizes():
    assert roofline.bandwidth(made_up.ROOFLINE, 1, 65536) == 1e11
    assert roofline.bandwidth(made_up.ROOFLINE, 1, 1 << 22) == pytest.approx(6e10)
    assert roofline.bandwidth(made_up.ROOFLINE, 1, 1) == 1e11


@pytest.mark.parametrize("form, size", [("", 4), ("bfloat16", 2), ("int8", 1)])
def test_attainable_by_hand(form, size):
    case = Case("ours", Pattern(0.75, (8, 8)), form)
    live = 4 * 16 * 64 // 4  # 4 gates of 4 x 4 blocks of 64, a quarter of them
    flat = {"bandwidth": {"2": [[1, 1e6], [1 << 30, 1e6]]}, "flops": [[2, 1e12]]}
    problem = Problem("sweep", "forward", "lstm", 32, 3, 5)
    assert roofline.attainable(flat, 2, problem, case) == pytest.approx(
        (5 * live * size + live * size + 4 * 2 * 3 * 5 * 32) / 1e6
    )
    slow = {**flat, "flops": [[2, 1e3]]}
    assert roofline.attainable(slow, 2, problem, case) == pytest.approx(2 * 3 * 5 * 2 * live / 1e3)
