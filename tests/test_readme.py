"""What the README shows runs, on smaller sizes than it names."""

import pathlib
import re

import keras
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {"10_000": "40", "LSTM(512": "LSTM(64", "steps=5000": "steps=20"}


# On the smaller sizes.
@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
def test_the_code_runs(tmp_path, monkeypatch):
    (code,) = re.findall("```python\n(.*?)```", README, re.DOTALL)
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(0, 40, (64, 5)).astype("int32")
    names = {"x": x, "y": x}
    exec(compile(code, "README.md", "exec"), names)
    model, sparse = names["model"], names["sparse"]
    kernels = [model.layers[1].cell.kernel.numpy(), model.layers[1].cell.recurrent_kernel.numpy()]
    assert np.mean(np.stack(kernels) == 0) == pytest.approx(0.9, abs=1 / 128)  # 128 blocks
    assert type(sparse.layers[1]).__name__ == "BlockSparseLSTM"
    loaded = keras.models.load_model("model.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), sparse.predict(x, verbose=0), atol=1e-6
    )
    assert (tmp_path / "model.tflite").stat().st_size > 1000


def documents():
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "experiments/**/*.md"):
        yield from ROOT.glob(pattern)


def test_links_lead_somewhere():
    """Also the pictures."""
    for document in documents():
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (document.parent / target).exists(), (
                f"{document.name}: {target}"
            )


def test_commands_name_programs_that_exist():
    """Those of a checkout: `python -m experiments.text.char_lm`, `python examples/char_lm.py`."""
    texts = [path.read_text(encoding="utf-8") for path in documents() if path.stem != "CHANGELOG"]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "experiments").rglob("*.py")]
    modules = {name for text in texts for name in re.findall(r"-m ((?:ex|bench)[\w.]+)", text)}
    files = {name for text in texts for name in re.findall(r"python (\w+/[\w/]+\.py)", text)}
    assert len(modules) > 5
    for name in modules:
        path = ROOT.joinpath(*name.rstrip(".").split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    assert all((ROOT / name).exists() for name in files)
