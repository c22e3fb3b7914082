import json
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from experiments.text import char_lm, char_network, char_sweep


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_models_have_names_of_their_own_and_the_parameters_that_rows_say(cell):
    recipes = char_sweep.recipes(cell, seed=2, characters=90)
    assert len({one.name() for one in recipes.values()}) == len(recipes)
    shapes, sparsities = char_sweep.shapes_and_sparsities(cell, quick=False)
    assert sparsities == {"lstm": (0.8, 0.9, 0.95), "gru": (0.9,)}[cell]
    assert {sparsity for row, sparsity in recipes if row.startswith("GLP")} == {0.9}
    assert sum(row.startswith("pruned") for row, _ in recipes) == len(shapes) * len(sparsities)
    dense = char_network.total(90, recipes[char_sweep.DENSE, None].units, cell)
    for row, lasso in (
        (f"{char_sweep.WIDE}, 16 x 16", 0),
        (f"{char_sweep.WIDE_GLP}, 1 x 16", char_sweep.LASSO),
    ):
        wide = recipes[row, None]
        live = char_network.total(
            90, wide.units, cell
        ) - wide.sparsity * char_network.kernel_weights(wide.units, cell)
        assert live == pytest.approx(dense, rel=0.01)
        assert wide.steps == recipes[char_sweep.DENSE, None].steps and wide.lasso == lasso
    for sparsity in sparsities:
        small = recipes[char_sweep.SMALL, sparsity]
        assert small.steps == 2 * recipes["pruned, 16 x 16", sparsity].steps
        count = dense - sparsity * char_network.kernel_weights(
            recipes[char_sweep.DENSE, None].units, cell
        )
        assert char_network.total(90, small.units, cell) == pytest.approx(count, rel=0.02)


def test_rates_are_tuned_with_a_seed_of_their_own_and_the_start_of_the_tables(
    tmp_path, monkeypatch, capsys
):
    """Bits are made up: lowest at twice the rate that each kind of network begins with."""
    options = char_lm.parse(["--sweep", "--tune", "--cells", "gru", "--output", str(tmp_path)])
    asked = char_sweep.recipes("gru", 0, 90)
    kinds = char_sweep.one_of_each_kind(asked)
    assert [(one.units, one.sparsity) for one in kinds.values()] == [
        (256, 0),
        (89, 0),
        (256, 0.9),
        (256, 0.9),
        (512, 0.75),
    ]
    begins = {
        (one.units, one.criterion, bool(one.sparsity)): one.learning_rate for one in kinds.values()
    }
    seen = []

    def trained(recipe, *_):
        seen.append(recipe)
        return SimpleNamespace(
            bits=1
            + abs(
                np.log(
                    recipe.learning_rate
                    / 2
                    / begins[recipe.units, recipe.criterion, bool(recipe.sparsity)]
                )
            )
        )

    monkeypatch.setattr(char_sweep, "trained", trained)
    char_sweep.tune_rates(options, SimpleNamespace(characters=range(90)), Console())
    assert seen[0] == asked[char_sweep.START, None] and {
        one.start for one in seen if one.sparsity and one.units == 256
    } == {seen[0].name()}
    assert {one.seed for one in seen} == {0} and len({one.name() for one in seen}) == len(
        seen
    ) == 1 + 4 * len(kinds)
    rows = json.loads((tmp_path / "rates.json").read_text())
    assert {row["row"]: min(row["rates"], key=row["rates"].get) for row in rows} == {
        row: f"{2 * one.learning_rate:g}" for row, one in kinds.items()
    }
    assert "GRU, bits per character, by learning rate" in capsys.readouterr().out


@pytest.mark.slow
def test_quick_sweep_is_written_and_drawn_and_goes_on_where_it_was(tmp_path, capsys):
    words = np.random.default_rng(0).choice(
        ["sun", "moon", "rises", "and", "the", "sets"], (300, 12)
    )
    (tmp_path / "story.txt").write_text("\n\n".join(" ".join(line) for line in words))
    arguments = [
        "--sweep",
        "--quick",
        "--cells",
        "gru",
        "--text",
        str(tmp_path / "story.txt"),
        "--output",
        str(tmp_path),
    ]
    assert char_lm.main(arguments) == 0
    runs = json.loads((tmp_path / "sweep.json").read_text())
    assert len(runs) == len(char_sweep.recipes("gru", 1, 90, quick=True))
    assert all(
        run["sparsity"] == pytest.approx(run["recipe"]["sparsity"], abs=0.03) for run in runs
    )
    assert matplotlib.image.imread(tmp_path / "sweep.png").shape[:2] == (520, 845)
    assert "GRU-24, bits per character; 1 seed" in capsys.readouterr().out
    assert char_lm.main(arguments) == 0
    assert capsys.readouterr().out.count("taken from") == len(runs)
