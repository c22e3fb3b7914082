"""What many cores should give: the arithmetic, and that its measurements run."""

import importlib
import json
import pathlib
import shutil
import sys

import pytest

# Last: the package itself is the installed one.
sys.path.append(str(pathlib.Path(__file__).parents[2]))

many_cores = importlib.import_module("benchmarks.many_cores")

FOUND = {
    "barrier": [[2, 300.0]],
    "round_trip": 100.0,
    "caches": {"L2": "1024K", "L3": "32768K"},
    "bandwidth": {
        "1": [[1 << 20, 100e9], [8 << 20, 50e9], [256 << 20, 10e9]],
        "all": [[1 << 20, 200e9], [256 << 20, 16e9]],
    },
}


def test_a_barrier_is_flat_up_to_eight_threads_and_a_tree_from_nine_on():
    seconds = [many_cores.barrier(cores, FOUND) for cores in (1, 2, 8, 16, 64)]
    # A tree of 16 has two levels below its root, one of 64 three.
    assert seconds == pytest.approx([0, 300e-9, 450e-9, 325e-9, 425e-9])


def test_a_share_has_the_bandwidth_of_what_it_fits_into():
    bandwidth = many_cores.bandwidth
    assert bandwidth(1 << 20, 16, FOUND) == 100e9  # its own cache
    assert bandwidth(3 << 20, 4, FOUND) == 50e9  # the one that eight share
    assert bandwidth(100 << 20, 4, FOUND) == 4e9  # memory, which all have together
    assert bandwidth(100 << 20, 1, FOUND) == 10e9


def test_a_step_adds_up():
    weights = 4 * 1024 * 1024 * 0.1 * 4
    expected = 1.25 * weights / 16 / 100e9 + 1024 * many_cores.ELEMENT / 16
    expected += 325e-9 + 1024 * 4 / 64 * 15 / 16 * 100e-9 / many_cores.LINES
    assert many_cores.step(1024, 16, FOUND) == pytest.approx(expected)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no compiler")
def test_it_measures_and_writes_its_results(tmp_path, capsys):
    file = tmp_path / "many_cores.json"
    many_cores.main(["--quick", "--threads", "2", "--output", str(file)])
    results = json.loads(file.read_text())
    assert results["barrier"][0][0] == 2 and results["barrier"][0][1] > 0
    assert results["round_trip"] > 0
    table = results["microseconds_on_paper"]
    assert set(table) == {"1024", "2048", "4096", "8192", "16384"}
    assert all(time > 0 for row in table.values() for time in row.values())
    assert "64 cores" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        many_cores.main(["--threads", "1"])
