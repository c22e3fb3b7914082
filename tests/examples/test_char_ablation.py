import json
import pathlib
import re
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import char_ablation  # noqa: E402
import char_network  # noqa: E402
from char_text import Text  # noqa: E402


@pytest.fixture
def story(tmp_path):
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "and", "the", "sets"], (300, 12))
    path = tmp_path / "story.txt"
    path.write_text("\n\n".join(" ".join(line) for line in words))
    return path


def test_rows_start_from_rows_that_exist():
    assert all(changes.get("start", "dense") in char_ablation.ROWS for changes in char_ablation.ROWS.values())


def test_names_tell_rows_blocks_and_seeds_apart(story):
    text, names = Text(story), []
    for block in ("16x16", "1x16"):
        options = char_ablation.parse(["--block", block])
        names += [char_ablation.recipe_of(row, options, seed, text).name() for row in char_ablation.ROWS for seed in (1, 2)]
    dense = [name for name in names if re.match(r"lstm\d+-dense", name)]
    assert len(set(names)) == len(names) - len(dense) // 2  # dense models serve all block shapes


def test_as_many_parameters_are_those_of_the_pruned_model(story):
    text, options = Text(story), char_ablation.parse(["--units", "96"])
    units = char_ablation.recipe_of("as many parameters", options, 1, text).units
    model = char_network.build(len(text.characters), units)
    assert abs(model.count_params() / char_network.total(len(text.characters), options.units, sparsity=options.sparsity) - 1) < 0.03


@pytest.mark.slow
def test_the_table_grows_row_by_row(story, tmp_path, capsys):
    arguments = ["--quick", "--text", str(story), "--output", str(tmp_path / "out"), "--only"]
    assert char_ablation.main([*arguments, "dense"]) == 0
    assert char_ablation.main([*arguments, "dense", "best"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("taken from") == 2  # by the row itself, and by the one that starts from it
    figures = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert list(figures) == ["lstm64-dense-seed1", "lstm64-90%-16x16-seed1"]
    assert figures["lstm64-90%-16x16-seed1"]["sparsity"] == pytest.approx(0.9, abs=0.03)  # of 16 blocks in a gate, 14 go


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert char_ablation.main(["--sparsity", "2", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "error: `--sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: --sparsity=2.0"
    assert not output.exists()
