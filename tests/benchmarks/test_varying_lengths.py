"""The script runs from end to end, at sizes at which its figures mean nothing."""

import importlib
import json
import pathlib
import platform
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2]))  # last: the package itself is the installed one

varying_lengths = importlib.import_module("benchmarks.varying_lengths")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_both_ways_are_measured_in_processes_of_their_own(tmp_path, capsys):
    file = tmp_path / "lengths.json"
    varying_lengths.main(["--layers", "sparse", "--units", "32", "--batch", "2", "--time", "4", "--rounds", "2", "--output", str(file)])
    found = json.loads(file.read_text())["milliseconds"]["sparse"]
    assert set(found) == {"as it is", "kept"}
    assert all(len(times) == 2 and min(times) > 0 for ways in found.values() for times in ways.values())
    assert "masked storage, 90 % in 16 x 16" in capsys.readouterr().out
