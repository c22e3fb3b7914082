"""The script runs from end to end, at sizes at which its figures mean nothing, and its summary is
that of what was measured.
"""

import importlib
import json
import pathlib
import sys

import pytest

# Last: the package itself is the installed one.
sys.path.append(str(pathlib.Path(__file__).parents[2]))

callback_overhead = importlib.import_module("benchmarks.callback_overhead")


@pytest.mark.filterwarnings("ignore:Pruning stops at the last block")
def test_every_block_shape_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(callback_overhead, "SHAPES", ((4, 4), (1, 1)))
    file = tmp_path / "overhead.json"
    tiny = ["--units", "12", "--batch", "2", "--steps", "3", "--rounds", "22"]
    callback_overhead.main([*tiny, "--output", str(file)])
    results = json.loads(file.read_text())
    assert set(results["shapes"]) == {"4 x 4", "1 x 1"} and results["settings"]["units"] == 12
    assert all(one["mask"] > 0 and one["step"] > 0 for one in results["shapes"].values())
    assert "4 x 4" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        callback_overhead.main(["--rounds", "3"])


def test_a_mask_counts_by_a_hundredth():
    tracing = [(999, 999, True, 1)] * 2
    small = [(103.0, 0.1, False, 100.0), (102.0, 0.1, False, 100.0), (150.0, 40.0, True, 100.0)]
    single = [(105.0, 0.1, False, 100.0), (150.0, 80.0, True, 100.0)]
    summaries = callback_overhead.summaries_of({(4, 4): tracing + small, (1, 1): tracing + single})
    assert summaries["4 x 4"] == {
        "step": 100.0,
        "ordinary": 3.0,  # of 2, 3 and 5: the same work, whatever the blocks
        "mask": 40.0,
        "share": pytest.approx((3.0 + 0.4) / 100),
    }
    assert summaries["1 x 1"]["share"] == pytest.approx((3.0 + 0.8) / 100)
