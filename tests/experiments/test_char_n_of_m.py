import json

import numpy as np
import pytest

from experiments.text import char_n_of_m
from experiments.text.char_n_of_m import DENSE, PUBLISHED, ROWS, recipes


def test_every_row_starts_from_the_same_dense_model_and_has_a_name_of_its_own():
    dense, *others = recipes(2).values()
    assert {one.start for one in others} == {dense.name()} == {"lstm256-dense-seed2"}
    assert {one.steps for one in others} == {dense.steps}
    assert len({one.name() for one in others}) == len(ROWS)


def test_half_of_the_weights_goes_and_at_once_as_published():
    asked = recipes(1)
    assert {one.sparsity for name, one in asked.items() if "dense" not in name} == {0.5}
    published = asked[PUBLISHED]
    assert (published.ramp, published.criterion, published.pattern) == ((), "l2", (2, 4))
    assert (published.learning_rate, published.dropout) == (
        asked[DENSE].learning_rate,
        asked[DENSE].dropout,
    )
    assert published.name() == "lstm256-50%-2of4-half3-seed1"


def test_no_seed_is_refused(capsys):
    with pytest.raises(SystemExit):
        char_n_of_m.parse(["--seeds", "0"])
    assert "`--seeds` must be at least 1. Received: 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run_prunes_in_every_pattern(tmp_path, capsys):
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "and", "the"], (300, 12))
    story = tmp_path / "story.txt"
    story.write_text("\n\n".join(" ".join(line) for line in words))
    output = tmp_path / "out"
    assert char_n_of_m.main(["--quick", "--text", str(story), "--output", str(output)]) == 0
    rows = json.loads((output / "n_of_m.json").read_text())["rows"]
    assert list(rows) == [DENSE, *ROWS]
    for name, (run,) in rows.items():
        assert run["sparsity"] == (0 if "dense" in name else pytest.approx(0.5, abs=0.01)), name
    assert "4:8" in capsys.readouterr().out
