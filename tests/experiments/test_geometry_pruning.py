import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_it_runs(tmp_path, elsewhere):
    out, picture = tmp_path / "out.json", tmp_path / "picture.png"
    arguments = [
        "--seeds",
        "2",
        "--units",
        "8",
        "--steps",
        "4",
        "--sparsities",
        "0.5",
        "--out",
        str(out),
        "--picture",
        str(picture),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "experiments.geometry.geometry_pruning", *arguments],
        check=True,
        capture_output=True,
        text=True,
        **elsewhere,
    )
    rows = json.loads(out.read_text())
    assert len(rows) == 2 * 2 * 4
    assert {row["criterion"] for row in rows} == {"dense", "geometric", "magnitude", "random"}
    assert all(row["tuned"] > 0 for row in rows if row["criterion"] != "dense")
    assert "| GRU | 50% | geometric |" in run.stdout
    assert picture.stat().st_size > 1000
