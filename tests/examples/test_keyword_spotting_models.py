import io
import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest

from examples.keyword_spotting import chart, deploy, front_end, measure, plan, spoken, spot, train
from examples.keyword_spotting.files import write_json

FOLDER = pathlib.Path(front_end.__file__).parent


@pytest.fixture
def small(monkeypatch, commands, tmp_path):
    """A plan of two small models, and the arguments that name their folder and clips."""
    monkeypatch.chdir(tmp_path)  # where no sources of the package are
    monkeypatch.setattr(plan, "UNITS", {"dense": (8,), "pruned": (32,)})
    monkeypatch.setattr(plan, "SEEDS", (0, 1))
    monkeypatch.setattr(plan, "LONGER", 2)
    monkeypatch.setattr(plan, "RATES", (0.02,))
    monkeypatch.setattr(plan, "BOUNDS", (0.02, 0.02))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    folder = ["--folder", str(tmp_path / "made"), "--data", str(commands)]
    return [*folder, "--epochs", "20"]


@pytest.mark.slow
def test_models_are_trained_deployed_measured_and_drawn(small, tmp_path, capfd, write_clip):
    train.main(small)
    folder = tmp_path / "made"
    made = {path: path.stat().st_mtime_ns for path in (folder / "models").glob("*.json")}
    assert len(made) == 2 * (2 + 2)  # two settings are tried; two seeds train with the better
    train.main(small)  # nothing is left to do
    assert made == {path: path.stat().st_mtime_ns for path in (folder / "models").glob("*.json")}
    deploy.main(small)
    results = tmp_path / "results.json"
    measure.main([*small, "--rounds", "1", "--json", str(results)])
    found = json.loads(results.read_text())
    assert [(one["kind"], one["units"], one["seed"]) for one in found["models"]] == [
        ("dense", 8, 0),
        ("dense", 8, 1),
        ("pruned", 32, 0),
        ("pruned", 32, 1),
    ]
    for model in found["models"]:
        assert model["files"].keys() == deploy.roads(model["kind"]).keys()
        for entry in model["files"].values():
            assert entry["bytes"] > 1000 and entry["microseconds"] > 0 and 0 < entry["test"] <= 1
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{chart.BEGIN}\n{chart.END}\nafter\n")
    picture = tmp_path / "chart.png"
    chart.main([f"--json={results}", f"--picture={picture}", f"--readme={readme}"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert readme.read_text() == (
        f"before\n{chart.BEGIN}\n{chart.table(found)}\n{chart.END}\nafter\n"
    )
    place = folder / "deployed" / plan.last_runs("pruned", 32, folder, 20)[0].name
    write_clip(
        tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).normal(size=16000).clip(-9, 9)
    )
    shown = []
    for file in ("c/model.ksr", "litert.tflite", "ours.tflite"):
        capfd.readouterr()
        arguments = [str(tmp_path / "noise.wav"), "--model", str(place / file), "--threshold", "0"]
        spot.main(arguments)
        shown.append(capfd.readouterr().out)
    assert shown[0] == shown[1] == shown[2]


def test_models_of_other_clips_are_not_taken_for_these(small, tmp_path):
    train.main([*small, "--list"])
    with pytest.raises(ValueError, match="^--folder: the models in .* learn from .*other folder"):
        train.main(["--folder", str(tmp_path / "made"), "--list"])


def test_rates_are_tried_until_the_best_has_worse_ones_beside_it(tmp_path):
    worth = {0.005: 0.9, 0.01: 0.8, 0.02: 0.7}
    tried = []
    while runs := [run for run in plan.search("dense", 128, tmp_path) if not run.result(tmp_path)]:
        assert plan.chosen("dense", 128, tmp_path) is None
        for run in runs:
            known = {"validation": worth[run.learning_rate] - run.dropout}
            write_json(tmp_path / "models" / f"{run.name}.json", known)
            tried.append((run.learning_rate, run.dropout))
    assert tried == [(0.01, 0.0), (0.02, 0.0), (0.005, 0.0), (0.005, 0.2)]
    best = plan.chosen("dense", 128, tmp_path)
    assert (best.learning_rate, best.dropout, best.seed) == (0.005, 0.0, 0)
    left = [run for run in plan.todo(tmp_path) if (run.kind, run.units) == ("dense", 128)]
    assert left == plan.last_runs("dense", 128, tmp_path)
    assert [(run.seed, run.epochs) for run in left] == [(0, 48), (1, 48), (2, 48)]
    assert plan.finished(tmp_path) == []
    write_json(tmp_path / "models" / f"{left[0].name}.json", {"validation": 1.0})
    assert plan.finished(tmp_path) == left[:1]


def result(kind, units, seed, entries):
    return {"kind": kind, "units": units, "seed": seed, "weights": 100, "files": entries}


def entry(microseconds, test, size=1000):
    return {"bytes": size, "test": test, "microseconds": microseconds}


def test_the_front_has_what_no_other_beats_and_costs_are_of_each_model():
    road, rounded = "our C, dense float32", "our C, dense int8"
    results = {
        "models": [
            result("dense", 8, 0, {road: entry(2.0, 0.80), rounded: entry(1.0, 0.78)}),
            result("dense", 8, 1, {road: entry(4.0, 0.84), rounded: entry(1.0, 0.84)}),
            result("dense", 16, 0, {road: entry(5.0, 0.82), rounded: entry(6.0, 0.9)}),
        ]
    }
    best = chart.front(chart.points(results))
    shown = [
        (one["units"], one["road"], one["microseconds"], round(one["test"], 4)) for one in best
    ]
    assert shown == [(8, rounded, 1.0, 0.81), (8, road, 3.0, 0.82), (16, rounded, 6.0, 0.9)]
    mean, most = chart.costs(results)[rounded]
    assert mean == pytest.approx((2.5 + 0 - 100 * (0.9 / 0.82 - 1)) / 3)
    assert most == pytest.approx(2.5)
    lines = chart.table(results).splitlines()
    assert lines[:4] == [
        "| dense, units of the LSTM | 8 | 16 |",
        "|---|---|---|",
        "| weights | 100 | 100 |",
        "| our C, dense float32 | **82.0 ± 2.8 %, 3.00 µs, 1.0 kB** | "
        "82.0 ± 0.0 %, 5.00 µs, 1.0 kB |",
    ]


class Words:
    """A stream that is sure of one label after the other."""

    def __init__(self, labels):
        self.labels = list(labels)

    def __call__(self, frame):
        return 9.0 * np.eye(3, dtype=np.float32)[self.labels.pop(0)]


def test_a_word_counts_once_while_it_lasts_and_again_after_a_pause():
    spotter = spot.Spotter(FOLDER / "model.ksr", threshold=0.7)
    spotter.labels = ["go", "unknown", "silence"]
    spotter._stream = Words([2] * 10 + [0] * 40 + [2] * 30 + [0] * 8 + [1] * 20)
    spotter.probabilities = np.zeros(3)
    found = [each for _ in range(108) for each in spotter(np.zeros(front_end.HOP))]
    assert [(round(seconds, 3), word) for seconds, word, _ in found] == [
        (0.4, "go"),
        (2.15, "go"),
    ]
    assert spotter.seconds == 2.7


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("given", ["file", "raw", "wav"])
def test_the_program_spots_the_words_that_are_said(
    given, tmp_path, monkeypatch, capsys, write_clip
):
    parts = [np.zeros(8000)]
    for word in ("stop", "left", "go"):
        parts += [0.5 * spoken.said(word, "en-us+m5", 160, 50), np.zeros(16_000)]
    samples = np.concatenate(parts) + 0.001 * np.random.default_rng(0).normal(
        size=sum(map(len, parts))
    )
    path = tmp_path / "words.wav"
    write_clip(path, samples)
    content = path.read_bytes()[0 if given == "wav" else 44 :]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    spot.main([str(path) if given == "file" else "-"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["stop", "left", "go"]


def test_bars_show_each_label():
    spotter = spot.Spotter(FOLDER / "model.ksr")
    spotter(np.zeros(8 * front_end.HOP))
    text = "\n".join(str(line) for line in spot.bars(spotter, [(1.2, "go", 0.9)]).renderables)
    assert all(label in text for label in spoken.LABELS) and "go (1.2 s)" in text
    assert spotter.labels[int(spotter.probabilities.argmax())] == "silence"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere.wav"], "spot: [Errno 2] No such file or directory: 'nowhere.wav'"),
        (["x.wav", "--model", "x.wav"], "spot: "),
    ],
)
def test_the_program_refuses_in_words(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("x.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(SystemExit) as error:
        spot.main(arguments)
    assert str(error.value.code).startswith(message)
