"""What 2:4 and training at few bits cost a recogniser."""

import json

import pytest

from experiments.speech import speech_low_precision, speech_n_of_m
from experiments.speech.speech_held_out import parser, sized
from experiments.speech.speech_n_of_m import PUBLISHED, ROWS, recipes


def test_half_of_the_weights_goes_and_at_once_as_published():
    dense, asked = recipes(sized(parser("", "out").parse_args([])), 2, letters=27)
    assert {one.start for one in asked.values()} == {dense.name()}
    assert {one.steps for one in asked.values()} == {1200}
    assert {one.learning_rate for one in asked.values()} == {dense.learning_rate}
    assert {name for name, one in asked.items() if one.sparsity == 0.5} == set(list(ROWS)[1:])
    assert len({one.name() for one in asked.values()}) == len(ROWS)
    assert (asked[PUBLISHED].ramp, asked[PUBLISHED].criterion) == ((), "l2")


@pytest.mark.parametrize("program", [speech_n_of_m, speech_low_precision])
def test_what_is_no_folder_of_recordings_is_refused(program, tmp_path, capsys):
    output = tmp_path / "out"
    assert program.main(["--data", str(tmp_path), "--output", str(output)]) == 2
    assert "error:" in capsys.readouterr().out and not output.exists()


@pytest.mark.slow
def test_a_quick_run_prunes_in_every_pattern(recordings, tmp_path, capsys):
    arguments = ["--quick", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_n_of_m.main(arguments) == 0
    rows = json.loads((tmp_path / "n_of_m.json").read_text())["rows"]
    assert list(rows) == ["dense", *ROWS]
    for name, (run,) in rows.items():
        assert run["sparsity"] == (0 if "dense" in name else pytest.approx(0.5, abs=0.01)), name
    assert "2:4" in capsys.readouterr().out


@pytest.mark.slow
def test_a_quick_run_trains_at_few_bits_once(recordings, tmp_path, capsys):
    arguments = ["--quick", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_low_precision.main(arguments) == 0
    runs = json.loads((tmp_path / "low_precision.json").read_text())["runs"]
    assert [run["method"] for run in runs] == ["float32", *speech_low_precision.METHODS]
    for run in runs[1:]:
        assert run["in_cells"]["test"] == pytest.approx(run["errors"]["test"], rel=0.05)
    again = capsys.readouterr().out
    assert speech_low_precision.main(arguments) == 0
    assert "steps-seed" not in capsys.readouterr().out and "steps-seed" in again
    assert json.loads((tmp_path / "low_precision.json").read_text())["runs"] == runs
