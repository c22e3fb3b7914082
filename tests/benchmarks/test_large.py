"""The benchmark of sizes: its cases, its summary, its chart, and one case from end to end."""

import importlib
import pathlib
import sys

import pytest

# Last: the package itself is the installed one.
sys.path.append(str(pathlib.Path(__file__).parents[2]))

large = importlib.import_module("benchmarks.large")


def test_live_weights_or_density_stay_the_same_over_the_units():
    found = large.cases()
    weights = [(kind, (1 - sparsity) * 8 * units**2) for kind, units, sparsity in found]
    assert {round(count) for kind, count in weights if kind == "live"} == {1 << 22}
    assert {sparsity for kind, _, sparsity in found if kind == "density"} == {0.995}
    assert [units for kind, units, _ in found if kind == "live"] == list(large.UNITS)


def test_a_step_is_compared_with_the_rate_of_the_reference(tmp_path):
    records = [
        {"kind": "reference", "units": 8, "live_weights": 100, "seconds": 0.5},
        {"kind": "live", "units": 8, "live_weights": 300, "seconds": 3.0},
        {"kind": "density", "units": 8, "live_weights": 50, "seconds": 0.25},
    ]
    records = [{**one, "bytes_peak": 2e9, "bytes_dense": 3e9} for one in records]
    found = large.summary(records)
    assert [one["times_the_rate"] for one in found] == [1.0, 2.0, 1.0]
    large.chart(found, tmp_path / "pictures" / "large.png")
    assert (tmp_path / "pictures" / "large.png").stat().st_size > 5000


@pytest.mark.slow
def test_one_case_is_measured():
    record = large.measured(64, 0.9, 2)
    assert record["live_weights"] == 2 * 4 * 2 * 256 and record["seconds"] > 0
    assert record["bytes_peak"] >= record["bytes_built"] >= record["bytes_loaded"] > 1e8
