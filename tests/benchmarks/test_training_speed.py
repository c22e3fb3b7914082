"""The scripts run from end to end, at sizes at which their figures mean nothing."""

import importlib
import json
import pathlib
import sys
import threading

import pytest
from matplotlib import image

from keras_sparse_rnn import ops

sys.path.append(
    str(pathlib.Path(__file__).parents[2])
)  # last: the package itself is the installed one

training_speed = importlib.import_module("benchmarks.training_speed")
TINY = ["--units", "20", "--batch", "3", "--time", "5", "--steps", "40", "--block-shape", "4", "4"]


@pytest.mark.slow
def test_three_ways_are_measured_and_drawn(tmp_path, capsys):
    files = ["--output", str(tmp_path / "speed.json"), "--picture", str(tmp_path / "speed.png")]
    training_speed.main([*TINY, *files])
    training_speed.main([*TINY, *files, "--add"])
    results = json.loads((tmp_path / "speed.json").read_text())
    assert len(results["rounds"]) == 2
    for one in results["rounds"]:
        for way in training_speed.WAYS:
            assert (
                len(one[way]["milliseconds"]) == len(one[way]["sparsity"]) == 40
                and min(one[way]["milliseconds"]) > 0
            )
        assert one["dense"]["sparsity"] == [0.0] * 40
        assert one["masks"]["sparsity"] == one["masked storage"]["sparsity"]
        assert one["masks"]["sparsity"][0] == 0.0 and 0.88 < one["masks"]["sparsity"][-1] < 0.92
        # The same training: only roundings differ.
        assert one["masked storage"]["loss"] == pytest.approx(one["masks"]["loss"], rel=1e-2)
    assert image.imread(tmp_path / "speed.png").shape[:2] == (650, 1040)
    assert "Masked storage is faster than dense training" in " ".join(
        capsys.readouterr().out.split()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speed.json", "speed.png"]


def test_rounds_of_other_settings_are_not_mixed(tmp_path):
    (tmp_path / "speed.json").write_text(json.dumps({"settings": {"units": 1}, "rounds": []}))
    with pytest.raises(SystemExit, match="--add needs the settings of"):
        training_speed.main(
            [
                *TINY,
                "--add",
                "--output",
                str(tmp_path / "speed.json"),
                "--picture",
                str(tmp_path / "speed.png"),
            ]
        )
    with pytest.raises(SystemExit):
        training_speed.main(["--steps", "39"])


def test_summary_says_where_masked_storage_overtakes():
    ways = {"dense": [10.0] * 60, "masks": [11.0] * 60, "masked storage": [20.0] * 28 + [5.0] * 32}
    rounds = [
        {
            way: {"milliseconds": times, "sparsity": [i / 100 for i in range(60)], "loss": 1.0}
            for way, times in ways.items()
        }
    ]
    found = training_speed.summary(rounds)
    assert found["overtakes"] == {"step": 28, "sparsity": 0.28}
    assert found["milliseconds_at_the_end"] == {"dense": 10.0, "masks": 11.0, "masked storage": 5.0}
    assert found["total_seconds"]["dense"] == pytest.approx(0.57)
    rounds[0]["masked storage"]["milliseconds"] = [12.0] * 60
    assert training_speed.summary(rounds)["overtakes"] is None


def test_turns_are_taken_one_after_the_other():
    turns, order = training_speed.Turns(3), []

    def work(number):
        for _ in range(number + 1):
            turns.wait(number)
            order.append(number)
            turns.pass_on()
        turns.wait(number)
        turns.pass_on(leave=True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert order == [0, 1, 2, 1, 2, 2]


@pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")
@pytest.mark.slow
def test_block_shapes_are_compared(capsys):
    block_shapes = importlib.import_module("benchmarks.block_shapes")
    try:
        block_shapes.main(["--units", "32", "--rounds", "1"])
    finally:
        ops.set_num_threads(None)
    printed = capsys.readouterr().out
    for shape in [*block_shapes.RELATIVE_COST, *block_shapes.OTHER_SHAPES]:
        assert str(shape) in printed


@pytest.mark.slow
def test_rows_are_compared_with_panels(tmp_path, capsys, monkeypatch):
    few_samples = importlib.import_module("benchmarks.few_samples")
    monkeypatch.setattr(few_samples, "SETS", ("plain", "no such set"))
    path = tmp_path / "few_samples.json"
    few_samples.main(["--quick", "--output", str(path)])
    assert "no such set: not on this machine" in capsys.readouterr().out
    found = json.loads(path.read_text())["sets"]["plain"]
    assert set(found["to_panels"]) == {
        f"{layout}, {kind}" for layout in ("rows", "chosen") for kind in ("forward", "gradient")
    }
    assert len(found["cases"]) == 2 * 2 * len(few_samples.SHAPES)
    assert list(tmp_path.iterdir()) == [path]
