import json

import numpy as np
import pytest
from rich.console import Console

from experiments.common.few_bits import FLOAT, FewBits
from experiments.common.few_bits_table import table
from experiments.text import char_low_precision
from experiments.text.char_measure import spread


@pytest.mark.slow
def test_a_quick_run_makes_every_model_once(tmp_path, capsys):
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "and", "sets"], (300, 12))
    story, output = tmp_path / "story.txt", tmp_path / "out"
    story.write_text("\n\n".join(" ".join(line) for line in words))
    arguments = ["--quick", "--text", str(story), "--output", str(output)]
    assert char_low_precision.main([*arguments, "--pieces", "2"]) == 0
    assert len(json.loads((output / "low_precision.json").read_text())["runs"]) == 2
    assert char_low_precision.main(arguments) == 0
    runs = json.loads((output / "low_precision.json").read_text())["runs"]
    assert len(runs) == 18 and not any(run["diverged"] for run in runs)
    for run in runs:
        if "in_cells" in run:
            assert run["in_cells"]["test"] == pytest.approx(run["bits"]["test"], rel=0.01)
    capsys.readouterr()
    assert char_low_precision.main([*arguments, "--pieces", "1"]) == 3  # nothing is missing
    assert "straight-through" in capsys.readouterr().out


def test_costs_are_found_seed_by_seed():
    found = {}
    for seed, base in ((1, 1.0), (2, 2.0)):
        found[FewBits(FLOAT, 0.9, seed=seed)] = {"bits": {"test": base}, "diverged": False}
        found[FewBits("denoising", 0.9, 4, 8, seed)] = {
            "bits": {"test": 1.01 * base},
            "in_cells": {"test": (1 + 0.01 * seed) * base},
            "diverged": seed == 2,
        }
    rows = list(
        zip(*(column.cells for column in table(found, "two seeds", "bits", spread).columns))
    )
    assert rows[0] == ("90 %", "", "float32", "1.500 ± 0.707", "", "", "", "")
    assert rows[1][:5] == ("90 %", "4 x 8", "denoising", "1.515 ± 0.714", "+1.00 ± 0.00 %")
    assert rows[1][5:] == ("1.525 ± 0.728", "+1.50 ± 0.71 %", "1 of 2")


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(char_low_precision, "console", Console(width=200))
    output = tmp_path / "out"
    assert char_low_precision.main(["--pieces", "0", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "error: `--pieces` must be at least 1. Received: 0"
    assert not output.exists()
