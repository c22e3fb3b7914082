import json

import pytest

from experiments.navigation import echo_strengths


def test_the_strengths_of_a_width_are_searched_for_and_kept(tmp_path, monkeypatch):
    trained = []

    def error(units, steps, strength, sparsity=0.7):
        trained.append((units, strength, sparsity))
        return {"missed": 5 + (strength - 0.03) ** 2, "gradient": [0.5, 0.6]}

    monkeypatch.setattr(echo_strengths, "trained", error)
    records = echo_strengths.Records(tmp_path)
    result = echo_strengths.of_units(128, 1000, echo_strengths.GRID, 0.01, records)
    assert list(result["tried"]) == [0.003, 0.01, 0.03, 0.1]
    assert (result["gradient"], result["units"]) == ([0.5, 0.6], 128)
    assert trained[:2] == [(128, 0.0, 0.0), (128, 0.0, 0.7)] and len(trained) == 6
    assert echo_strengths.of_units(128, 1000, echo_strengths.GRID, 0.01, records) == result
    assert len(trained) == 6
    shown = echo_strengths.table([result])
    assert [cell for column in shown.columns for cell in column.cells][:3] == [
        "128",
        "5.00",
        "5.00",
    ]


@pytest.mark.slow
def test_the_quick_run_trains_and_writes(tmp_path, capsys):
    assert echo_strengths.main(["--quick", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "echo_strengths.json").read_text())
    assert [result["units"] for result in results] == [16, 32]
    assert all(20 < result["dense"] < 200 and min(result["gradient"]) > 0 for result in results)
    assert "Missed of the variance" in capsys.readouterr().out


@pytest.mark.parametrize("units", echo_strengths.BEGIN)
def test_a_search_begins_on_the_grid(units):
    assert echo_strengths.BEGIN[units] in echo_strengths.GRID
