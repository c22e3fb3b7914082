"""The benchmark of deployment: a small case from end to end, and the documents that quote it."""

import importlib.util
import json
import re
import sys

import numpy as np
import pytest
from matplotlib import image

from benchmarks.deploy import __main__ as deploy
from benchmarks.deploy import picture, roads, tables, turns, worker
from keras_sparse_rnn.export import library

ONNX = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))


def published():
    if not deploy.OUTPUT.exists():
        pytest.skip("not in a source tree")
    return json.loads(deploy.OUTPUT.read_text())


@pytest.mark.slow
@pytest.mark.skipif(not library.LIBRARY.exists(), reason="the library was not built")
def test_every_road_is_measured_and_agrees_with_keras(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-O0")
    output = tmp_path / "deploy.json"
    quick = ["--only", "gru-96", "--rounds", "1", "--seconds", "0.001", "--output", str(output)]
    assert deploy.main(quick) == 0
    case = json.loads(output.read_text())["cases"]["gru-96"]
    expected = [road for road in roads.ROADS if ONNX or road.kind != "onnx"]
    assert list(case["roads"]) == [road.name for road in expected]
    for road in expected:
        found = case["roads"][road.name]
        assert found["bytes"] > 1000
        assert 0 < found["error"] < (1e-5 if "float32" in road.name else 0.02)
        assert list(found["threads"]) == [str(threads) for threads in road.threads]
        for one in found["threads"].values():
            assert one["peak_bytes"] > 0 < one["microseconds_per_step"]
            assert one["load_milliseconds"] > 0
    printed = capsys.readouterr().out
    assert ("ONNX Runtime is left out: " in printed) is not ONNX
    assert [path.name for path in tmp_path.iterdir()] == ["deploy.json"]


def test_a_python_without_onnx_is_told_from_one_with_it():
    assert turns.has_onnx(sys.executable) is ONNX


def test_a_process_that_ends_is_reported_with_its_last_line(tmp_path):
    command = [sys.executable, "-c", "raise ValueError('no such file')"]
    with pytest.raises(RuntimeError) as raised:
        turns.Process(command, tmp_path / "log")
    assert str(raised.value) == f"{command} ended: ValueError: no such file"


def test_a_difference_is_relative_to_the_largest_output(tmp_path):
    np.array([0.5, -2.0], "float32").tofile(tmp_path / "sparse.f32")
    np.array([0.5, -1.9], "float32").tofile(tmp_path / "outputs")
    (road,) = [road for road in roads.ROADS if road.name == "C, float32"]
    found = turns.difference(tmp_path / "outputs", road, tmp_path)
    assert found == pytest.approx(0.05, rel=1e-5)


def test_the_time_of_a_step_counts_the_steps_of_a_call():
    calls = []
    found = worker.microseconds(lambda: calls.append(None), 4, 0.001)  # a single stretch
    assert found * 4 * (len(calls) - 1) >= 1e6 * worker.STRETCH  # the first call is not counted


def test_the_published_results_have_every_road_of_a_case():
    results = published()
    assert set(results["cases"]) == set(roads.CASES)
    for name, case in results["cases"].items():
        assert list(case["roads"]) == [road.name for road in roads.ROADS], name
        for road, found in case["roads"].items():
            assert found["error"] < (1e-5 if "float32" in road else 0.02), (name, road)


@pytest.mark.parametrize("document", deploy.DOCUMENTS, ids=lambda path: path.name)
def test_the_documents_have_the_tables_of_the_published_results(document):
    text = document.read_text(encoding="utf-8")
    assert text == deploy.refreshed(text, published())


def test_every_table_stands_in_a_document():
    texts = "".join(path.read_text(encoding="utf-8") for path in deploy.DOCUMENTS)
    found = re.findall(r"<!-- table: (deploy\w+) -->", texts)
    assert sorted(found) == sorted(tables.contents(published()))


def test_a_case_that_was_not_measured_is_a_gap_in_tables_and_charts(tmp_path):
    results = published()
    results["cases"].pop("lstm-2048", None)
    del results["cases"]["gru-512"]["roads"]["C, float32"]
    assert tables.speed(results, "lstm").splitlines()[2].endswith(" | - |")
    assert "| C, float32 | " not in tables.one_case(results, "gru-512")
    picture.draw(results, tmp_path)
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert pictures == ["deploy-costs.png", "deploy-steps.png"]
    assert all(image.imread(tmp_path / name).shape[0] == 672 for name in pictures)
