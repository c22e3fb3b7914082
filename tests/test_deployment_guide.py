"""The guide `docs/deployment.md`: its code runs, and its C compiles."""

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def code(language):
    """The guide's blocks of code in a language."""
    guide = ROOT / "docs" / "deployment.md"
    if not guide.exists():
        pytest.skip("not in a source tree")
    return re.findall(rf"```{language}\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)


def test_what_the_guide_shows_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nonexistent/cc")  # how the program is built, other tests try
    monkeypatch.chdir(tmp_path)
    names, blocks = {}, code("python")
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/deployment.md", "exec"), names)
    assert names["words"].shape == (1, 1, 5)
    printed = capsys.readouterr().out
    assert "spotter: model.ksr of" in printed and "['yes', 'no', 'up', 'down', 'other']" in printed
    compiler = shutil.which("cc")
    if compiler:
        (block,) = code("c")
        top, inside = block.split("model* m", 1)
        text = f"{top}int main(void) {{ model* m{inside} }}"
        command = [compiler, "-x", "c", "-std=c11", "-fsyntax-only", "-Wall", "-Werror", "-"]
        command[1:1] = ["-I", str(tmp_path / "spotter")]
        subprocess.run(command, input=text, text=True, check=True)
