import json

import pytest

from benchmarks import runtimes


@pytest.mark.slow
def test_a_small_one_measures_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-O0")
    monkeypatch.setattr(runtimes, "PRECISIONS", ("int8",))
    monkeypatch.setattr(runtimes, "FRAMES", 3)
    sizes = ["--inputs", "64", "--units", "64", "--large", "128", "--rounds", "2"]
    runtimes.main([*sizes, "--output", str(tmp_path / "results.json")])
    results = json.loads((tmp_path / "results.json").read_text())
    figures = results["steps"]["int8"]
    assert all(figures[name] > 0 for name in ("bytes", "code_bytes", "c", "python", "python_many"))
    assert 0 < results["start"]["prepared"] and results["start"]["bytes"] > 1000
    assert "| a step in C, microseconds | " in capsys.readouterr().out


def test_the_guide_has_the_table_of_the_committed_results():
    guide = runtimes.OUTPUT.parents[2] / "docs" / "deployment.md"
    if not guide.exists():
        pytest.skip("not in a source tree")
    results = json.loads(runtimes.OUTPUT.read_text())
    assert runtimes.table(results) in guide.read_text(encoding="utf-8")
