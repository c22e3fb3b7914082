"""The program that measures one step in LiteRT: a small case from end to end, and what is published
of the large one.
"""

import importlib
import json
import pathlib

import pytest

from keras_sparse_rnn.export import library

deploy_litert = importlib.import_module("benchmarks.deploy_litert")
ROOT = pathlib.Path(__file__).parents[2]
FILES = [
    "stock dense float32",
    "stock dense int8",
    "stock sparse",
    "stock sparse int8",
    "ours float32",
    "ours bfloat16",
    "ours int8",
    "ours int8 x int8",
]


@pytest.mark.slow
@pytest.mark.skipif(not library.LIBRARY.exists(), reason="the library was not built")
def test_every_file_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(deploy_litert, "SECONDS", 0.001)
    path = tmp_path / "found.json"
    small = "--cells gru --inputs 16 --units 32 --block 4 4 --rounds 1 --json".split()
    deploy_litert.main([*small, str(path)])
    found = json.loads(path.read_text())
    assert list(found["files"]) == ["gru"]
    assert [one["file"] for one in found["files"]["gru"]] == FILES
    assert all(one["bytes"] > 0 < one["microseconds_per_step"] for one in found["files"]["gru"])
    assert found["options"]["units"] == 32 and "processor" in found["machine"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gru"
    assert [line.split(" | ")[0] for line in lines[4:-1]] == [f"| {name}" for name in FILES]


def test_the_published_results_have_every_file():
    published = ROOT / "benchmarks" / "results" / "deploy_litert.json"
    found = json.loads(published.read_text())["files"]
    docs = (ROOT / "docs" / "litert.md").read_text()
    for files in found.values():
        assert [one["file"] for one in files] == FILES
        assert deploy_litert.as_table(files) in docs
