import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from examples.keyword_spotting import espeak
from experiments.common import learning_rates
from experiments.speech import (
    speech_audio,
    speech_ctc,
    speech_data,
    speech_measure,
    speech_recordings,
    speech_training,
)

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed"
)


def printed(capsys):
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_steps_of_all_kinds_are_timed(recordings, tmp_path):
    training, test = speech_recordings.recorded(recordings)
    speech = speech_data.Speech(training, test, tmp_path, speech_ctc.console, "tones")
    recipe = speech_training.Recipe(
        cell="rnn", layers=1, units=16, steps=20, batch=4, learning_rate=1e-3
    )
    models = {"dense": speech_training.trained(recipe, speech, tmp_path, speech_ctc.console)}
    times = speech_measure.milliseconds_per_step(models, speech, rounds=2)
    assert set(times) == {"dense", "keras"} and min(times.values()) > 0


@pytest.mark.slow
def test_whole_run_on_recordings(recordings, tmp_path, capsys, monkeypatch):
    """Quick models of every kind, the tables' figures, the pictures; a second run finds all of it
    done.
    """
    monkeypatch.setattr(
        speech_ctc,
        "milliseconds_per_step",
        lambda models, *_, **__: dict.fromkeys([*models, "keras"], 1.0),
    )
    arguments = [
        "--quick",
        "--rows",
        "equal",
        "wider",
        "--steps",
        "20",
        "--data",
        str(recordings),
        "--output",
        str(tmp_path),
    ]
    assert speech_ctc.main(arguments) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "training-rnn.png",
        "utterance-rnn.png",
    }
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["speech"]["voices"] == [10, 1]
    (run,) = results["models"]["rnn"]
    dense, small, pruned, lasso, wide = run.values()
    assert dense["sparsity"] == small["sparsity"] == 0
    assert [one["recipe"]["steps"] for one in run.values()] == [20, 20, 20, 20, 60]
    assert abs(small["parameters"] - pruned["parameters"]) < 200
    for one in (pruned, lasso, wide):
        assert one["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert pruned["sparsity"] == pytest.approx(lasso["sparsity"])
    assert pruned["parameters"] < wide["parameters"] < dense["parameters"]
    assert all(one["cer"] > 0 for one in run.values())
    assert set(results["milliseconds_per_step"]["rnn"]) == {*run, "keras"}
    capsys.readouterr()
    assert speech_ctc.main(arguments) == 0
    assert printed(capsys).count("taken from") == 5
    assert json.loads((tmp_path / "results.json").read_text())["models"] == results["models"]


@pytest.mark.slow
def test_rates_are_tuned_on_speakers_that_the_test_does_not_have(
    recordings, tmp_path, capsys, monkeypatch
):
    test = {one.speaker for one in speech_recordings.recorded(recordings)[1]}
    parts = speech_recordings.recorded(recordings, tuning=True)
    tuning = [{one.speaker for one in part} for part in parts]
    assert all(tuning) and not (test & tuning[0] or test & tuning[1] or tuning[0] & tuning[1])
    monkeypatch.setattr(
        learning_rates,
        "climb",
        lambda error, start: {rate: error(rate) for rate in (start, 2 * start)},
    )
    recipe, sets, load = (
        speech_training.Recipe(
            cell="rnn", layers=1, units=8, steps=20, batch=4, learning_rate=1e-3, seed=0
        ),
        [],
        speech_ctc.load,
    )
    monkeypatch.setattr(speech_ctc, "load", lambda options: sets.append(load(options)) or sets[0])
    monkeypatch.setattr(speech_ctc, "recipes", lambda *_: {"dense": recipe})
    assert (
        speech_ctc.main(["--quick", "--tune", "--data", str(recordings), "--output", str(tmp_path)])
        == 0
    )
    (row,) = json.loads((tmp_path / "rates.json").read_text())
    assert (row["cell"], row["row"], list(row["rates"])) == (
        "rnn",
        "dense",
        ["0.001", "0.002"],
    ) and min(row["rates"].values()) > 0
    assert sets[0].speakers == [len(tuning[0]), len(tuning[1])] and sets[0].texts == [
        one.text for one in speech_recordings.recorded(recordings, tuning=True)[1]
    ]
    assert not (tmp_path / "results.json").exists()
    assert "character error rate on utterances set aside" in printed(capsys)


@needs_espeak
def test_what_is_set_aside_is_neither_learnt_nor_tested():
    (learnt, tuning), (again, test) = (
        speech_audio.spoken(50, 20, aside=30, tuning=tuning) for tuning in (True, False)
    )
    assert learnt == again and len(tuning) == 30
    texts = [{one.text for one in part} for part in (learnt, tuning, test)]
    assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])


def test_missing_espeak_is_named_with_what_to_install(monkeypatch, tmp_path, capsys):
    espeak.program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert speech_ctc.main(["--quick", "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == (
        "error: Speech is made with the program espeak-ng, which is not installed: apt install "
        "espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), dnf install espeak-ng "
        "(Fedora). Or give recordings of your own: --data FOLDER"
    )
    assert not (tmp_path / "out").exists()


def test_folder_without_transcripts_is_refused(tmp_path, capsys):
    assert speech_ctc.main(["--data", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == (
        "error: `--data` must be a folder with transcripts, SPEAKER/CHAPTER/*.trans.txt. "
        f"Received: {tmp_path}, which has none"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--sparsity", "1.5"],
            "`--sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: --sparsity=1.5",
        ),
        (["--seeds", "0"], "`--seeds` must be at least 1. Received: 0"),
        (["--steps", "3"], "`--steps` must be at least 20. Received: 3"),
        (
            ["--larger", "0.5"],
            "`--larger` times the 256 units must make more of them. Received: 0.5",
        ),
        (
            ["--larger", "1.001"],
            "`--larger` times the 256 units must make more of them. Received: 1.001",
        ),
        (
            ["--larger", "inf"],
            "`--larger` times the 256 units must make more of them. Received: inf",
        ),
        (
            ["--tune", "--rows", "levers"],
            "`--rows levers` has the rates of the other rows and does not go with `--tune`",
        ),
        (["--sparsity", "0"], "`--sparsity` must be above 0. Received: 0.0"),
        (
            ["--blocks", "0x16"],
            "`--blocks` must be (rows, columns), two integers of at least 1. Received: "
            "--blocks=(0, 16)",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(arguments, message, tmp_path, capsys):
    assert speech_ctc.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == f"error: {message}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "best, tried",
    [(3.0, [1.5, 3.0, 6.0]), (0.8, [0.375, 0.75, 1.5, 3.0]), (12.0, [1.5, 3.0, 6.0, 12.0, 24.0])],
)
def test_rates_are_halved_or_doubled_until_neither_is_better(best, tried):
    found = learning_rates.climb(lambda rate: abs(np.log(rate / best)), 3.0)
    assert list(found) == tried


def test_a_rate_at_which_it_diverges_is_no_best_one():
    assert list(
        learning_rates.climb(lambda rate: np.nan if rate > 2 else abs(np.log(rate)), 4.0)
    ) == [0.5, 1.0, 2.0, 4.0]


def test_networks_of_more_steps_are_timed_once(monkeypatch):
    measured = []
    monkeypatch.setattr(
        speech_ctc,
        "milliseconds_per_step",
        lambda models, *_, **__: measured.append(models) or dict.fromkeys([*models, "keras"], 1.0),
    )
    models = {"dense": "a", "dense, twice the steps": "b", "small, three times the steps": "c"}
    assert speech_ctc.step_times(models, None, speech_ctc.parse([])) == dict.fromkeys(
        [*models, "keras"], 1.0
    )
    assert measured == [{"dense": "a", "small": "c"}]


@needs_espeak
@pytest.mark.slow
def test_quick_run_from_the_command_line(tmp_path, elsewhere):
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.speech.speech_ctc",
            "--quick",
            "--output",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        **elsewhere,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "results.json").exists()
