"""The whole thing, with real workers, on tiny problems."""

import json
import os
import pathlib
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks.results import Results
from keras_sparse_rnn import ops

NATIVE = pytest.mark.skipif(not ops.native_available(), reason="needs the native library")


@pytest.fixture(autouse=True)
def path_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def run(folder, *arguments):
    out = pathlib.Path(folder, "results.json")
    pictures = ["--pictures", str(pathlib.Path(folder, "pictures"))]
    code = command.main(["--quick", "--threads", "1", "--out", str(out), *pictures, *arguments])
    return code, json.loads(out.read_text())


def cases(content, wanted):
    """The records of a peer, by problem."""
    return [
        (key, case)
        for key, record in content["problems"].items()
        for case in record["cases"]
        if case["peer"] == wanted
    ]


@NATIVE
@pytest.mark.slow
def test_all_modes(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    code, content = run(
        tmp_path, "--peers", "keras", "ours", "--only", "targets", "steps", "memory"
    )
    assert code == 0
    assert {key.split("/")[1] for key in content["problems"]} == {
        "forward",
        "train",
        "step",
        "steps",
        "identity",
        "memory",
    }
    for key, case in cases(content, "keras"):
        assert "median" in case or "counted" in case, (key, case)
    for key, case in cases(content, "ours"):
        assert "median" in case or "counted" in case, (key, case)
        assert case.get("error", 0) < (0.03 if case["form"] else 1e-5)
    for _, case in cases(content, "torch"):
        assert case["skipped"] == "left out by --peers"
    counted = {
        case["peer"]: case["counted"]
        for case in content["problems"]["memory/memory/lstm/40/2/5"]["cases"]
    }
    assert 0.2 < counted["ours"] / counted["keras"] < 0.3  # 75 % sparse
    assert (tmp_path / "pictures" / "benchmarks-peers.png").exists()
    assert "Everybody's times" in capfd.readouterr().out


@NATIVE
@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    arguments = ["--peers", "ours", "--only", "steps"]
    code, content = run(tmp_path, *arguments)
    assert code == 0 and len(cases(content, "ours")) > 0
    before = (tmp_path / "results.json").stat().st_mtime_ns
    code, again = run(tmp_path, *arguments)
    assert (
        code == 0 and again == content and (tmp_path / "results.json").stat().st_mtime_ns == before
    )
    assert "are in" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "peer, packages",
    [
        ("torch", ["torch"]),
        ("onnxruntime", ["onnx", "onnxruntime"]),
        ("scipy", ["scipy"]),
        ("litert", []),
    ],
)
def test_peers_compute_the_same(tmp_path, peer, packages):
    for package in packages:
        pytest.importorskip(package)
    code, content = run(
        tmp_path, "--peers", peer, "--only", "targets", "sweep", "steps", "products"
    )
    assert code == 0
    found = cases(content, peer)
    assert found
    for key, case in found:
        assert case.get("error", 1) < 1e-5, (key, case)


def test_a_file_of_something_else_is_left_alone(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert command.main(["--draw", str(tmp_path / "none.json")]) == 2
    assert "which is not there" in " ".join(capsys.readouterr().out.split())
    assert command.main(["--quick", "--out", str(path)]) == 2
    assert "must be a file of results" in " ".join(capsys.readouterr().out.split())
    assert path.read_text() == "{}"


@pytest.mark.slow
def test_charts_and_tables_without_measuring(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    import made_up

    path = tmp_path / "results.json"
    made_up.results(path).save()
    document = tmp_path / "docs.md"
    document.write_text("<!-- table: memory -->\n<!-- end -->\n")
    monkeypatch.setattr(command, "DOCS", document)
    assert (
        command.main(
            ["--draw", str(path), "--pictures", str(tmp_path / "pictures"), "--table", str(path)]
        )
        == 0
    )
    assert len(os.listdir(tmp_path / "pictures")) == 6
    assert (
        "| LSTM memory, H 1024, batch 32, T 50 | Keras graph | 0.0 | 0.0 |  |"
        in document.read_text()
    )


def test_options_are_checked(capsys):
    for wrong in (["--threads", "0"], ["--only", "everything"], ["--peers", "nobody"]):
        with pytest.raises(SystemExit):
            command.main(wrong)
        capsys.readouterr()
    assert Results(None).problems == {}


def test_results_elsewhere_leave_the_charts_of_the_documents_alone(tmp_path):
    assert command.parsed(["--out", str(tmp_path / "a.json")]).pictures == tmp_path / "pictures"
    assert command.parsed([]).pictures == command.DOCS.parent / "pictures"
