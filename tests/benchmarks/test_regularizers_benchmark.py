"""The script runs from end to end, at sizes at which its figures mean nothing, and its summary is
that of what was measured.
"""

import importlib
import json
import pathlib
import sys

import pytest

sys.path.append(
    str(pathlib.Path(__file__).parents[2])
)  # last: the package itself is the installed one

regularizers = importlib.import_module("benchmarks.regularizers")
TINY = ["--units", "20", "--batch", "3", "--time", "4"]


@pytest.mark.slow
def test_layers_are_measured_and_added_up(tmp_path, capsys, monkeypatch):
    every = regularizers.variants()
    monkeypatch.setattr(
        regularizers,
        "variants",
        lambda: {
            name: every[name]
            for name in ("GroupLasso 4 x 4", "ProximalGroupLasso 16 x 16", "Moduli")
        },
    )
    file = tmp_path / "regularizers.json"
    regularizers.main([*TINY, "--layers", "sparse", "--rounds", "2", "--output", str(file)])
    regularizers.main(
        [*TINY, "--layers", "sparse", "--rounds", "1", "--add", "--output", str(file)]
    )
    results = json.loads(file.read_text())
    assert {name: len(times) for name, times in results["milliseconds"]["sparse"].items()} == {
        "GroupLasso 4 x 4": 3,
        "ProximalGroupLasso 16 x 16": 3,
        "Moduli": 3,
        "right before": 9,
    }
    assert (
        list(results["summary"]) == ["sparse"]
        and results["summary"]["sparse"]["none"]["milliseconds"] > 0
    )
    assert "masked storage, 90 % in 16 x 16" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--add needs the settings of"):
        regularizers.main(["--units", "21", "--add", "--output", str(file)])


def test_each_step_is_compared_with_the_one_before():
    found = regularizers.summary(
        {
            "a": [12.0, 22.0, 30.0],
            "b": [10.0, 20.0, 31.0],
            "right before": [10.0, 10.0, 20.0, 20.0, 29.0, 30.0],
        }
    )
    assert found == {
        "none": {"milliseconds": 20.0, "added": 0.0, "share": 0.0},
        "a": {"milliseconds": 22.0, "added": 2.0, "share": 0.1},
        "b": {"milliseconds": 20.0, "added": 0.0, "share": 0.0},
    }
