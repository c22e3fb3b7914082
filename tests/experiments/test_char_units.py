import json

import numpy as np
import pytest

from experiments.text import char_units


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gates have lost all blocks")  # of so small a network
def test_a_quick_run_measures_all_that_is_left_of_the_pruned_model(tmp_path, capsys):
    words = np.random.default_rng(0).choice(
        ["the", "quick", "brown", "fox", "jumps", "over"], (300, 12)
    )
    story = tmp_path / "story.txt"
    story.write_text("\n\n".join(" ".join(line) for line in words))
    output = tmp_path / "out"
    arguments = ["--quick", "--text", str(story), "--output", str(output)]
    assert char_units.main(arguments) == 0
    (run,) = json.loads((output / "units.json").read_text())["runs"]
    assert list(run) == list(char_units.ROWS)
    assert max(run[name]["largest_difference"] for name in ("exact", "unread")) < 1e-6
    assert run["exact"]["bits"] == pytest.approx(run["pruned"]["bits"], abs=1e-6)
    assert run["unread"]["units"] <= run["exact"]["units"]
    assert "LSTM-64, pruned" in capsys.readouterr().out


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert char_units.main(["--units", "0", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "error: `--units` must be at least 1. Received: 0"
    assert not output.exists()
