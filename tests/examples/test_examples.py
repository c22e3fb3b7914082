"""Each program of `examples/`, run as its reader runs it."""

import os
import pathlib
import re
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(tmp_path):
    """A function of a program's name and arguments: runs it in a folder of its own, and returns
    what it wrote to the standard output.
    """

    def run(name, *arguments):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def figures(line):
    """The numbers in a line of a table."""
    return [float(text.replace(",", "")) for text in re.findall(r"\d[\d,]*\.?\d*(?:e-\d+)?", line)]


def line(printed, beginning):
    return next(each for each in printed.splitlines() if each.startswith(beginning))


@pytest.mark.slow
def test_quickstart_learns_prunes_and_exports(run, tmp_path):
    printed = run("quickstart.py")
    dense, pruned = figures(line(printed, "errors"))
    assert dense < 5 and pruned < 5  # of guesses 90 % are wrong
    assert figures(line(printed, "sparsity"))[0] == pytest.approx(88.6, abs=1.5)
    before, now = figures(line(printed, "weights"))
    assert before > 5 * now
    _, before, _ = steps = figures(line(printed, "100 steps"))
    assert len(steps) == 3 and min(steps) > 0
    assert all(figure < 1e-4 for figure in figures(line(printed, "largest change")))
    x = np.arange(100, dtype="int32")[None] % 10
    plain = keras.models.load_model(tmp_path / "quickstart.keras")
    assert type(plain.layers[1]) is keras.layers.LSTM
    (exported,) = ksr.export.Interpreter(str(tmp_path / "quickstart.tflite"))(
        **{"input_layer": x}
    ).values()
    np.testing.assert_allclose(exported, plain.predict(x, verbose=0), atol=1e-4)


@pytest.mark.slow
def test_char_lm_prints_its_table_and_a_sample(run, tmp_path):
    text = tmp_path / "story.txt"
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "The", "and"], 2000)
    text.write_text(" ".join(words))
    printed = run("char_lm.py", "--quick", "--units", "32", "--sparsity", "0.5", "--text", text)
    dense, pruned = figures(line(printed, "bits per character"))
    assert dense < 2 and pruned < 2  # log2(5) bits for each word of 4.4 characters
    before, now, ratio = figures(line(printed, "bytes of weights"))
    assert before > now and ratio == pytest.approx(before / now, abs=0.05)
    before, now, ratio = figures(line(printed, "bytes of the LiteRT file"))
    assert now == (tmp_path / "char_lm.tflite").stat().st_size
    assert len(figures(line(printed, "microseconds a character"))) == 3
    assert figures(line(printed, "largest difference of the LiteRT file"))[0] < 1e-4
    written = printed.split("writes:\n")[1].rstrip("\n")
    assert written.startswith("The ") and set(written) <= set(text.read_text() + "\n")
    plain = keras.models.load_model(tmp_path / "char_lm.keras")
    kernels = [plain.layers[1].cell.kernel.numpy(), plain.layers[1].cell.recurrent_kernel.numpy()]
    zero = sum(np.count_nonzero(kernel == 0) for kernel in kernels)
    assert zero / sum(kernel.size for kernel in kernels) == pytest.approx(0.5, abs=1 / 48)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--units", "8"], "--units: at least 16, the side of a block"),
        (["--text", "short.txt"], "--text: at least 1300 characters"),
        (
            ["--text", "nowhere.txt"],
            "argument --text: no readable UTF-8 text ([Errno 2] No such file or directory: "
            "'nowhere.txt')",
        ),
    ],
)
def test_char_lm_refuses_before_it_trains(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "short.txt").write_text("Call me Ishmael.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["char_lm.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLES / "char_lm.py"), run_name="__main__")
    assert capsys.readouterr().err.splitlines()[-1] == f"char_lm.py: error: {message}"


@pytest.mark.slow
def test_every_model_of_your_model_goes_through(run):
    printed = run("your_model.py")
    rows = re.findall(r"^(\w.*):\n    (\d+) % zero, largest difference (.*)$", printed, re.M)
    assert [title.split()[0].strip(",:") for title, *_ in rows] == [
        "Sequential",
        "Sequential",
        "Functional",
        "A",
        "Mixed",
        "Subclassed",
    ]
    for title, zero, difference in rows:
        assert 70 <= int(zero) <= 80, title
        assert float(difference) < (1e-2 if title.startswith("Mixed") else 1e-5), title
