"""The programs of docs/scaling.md run on two workers, on smaller sizes than they name."""

import pathlib
import re

import keras
import numpy as np
import pytest
from starting import results, several_workers, start

pytestmark = several_workers

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "scaling.md"
SMALLER = {
    "LSTM(512": "LSTM(8",
    "(20, 64)": "(3, 5)",
    "(3200, 20, 64)": "(40, 3, 5)",
    "batch(64)": "batch(8)",
    "(16, 16)": "(2, 2)",
}
FIT = {"steps=1000": "steps=20", "epochs=20": "epochs=4", "epochs=14": "epochs=2"}
LOOP = {"begin_step=100, end_step=700": "begin_step=2, end_step=8", "range(20)": "range(2)"}
LAST = """
import json, sys
found = {"losses": LOSSES, "weights": [np.asarray(w.numpy()).tolist() for w in model.weights]}
name = f"guide-{strategy.cluster_resolver.task_id}.json"
pathlib.Path(sys.argv[1]).joinpath(name).write_text(json.dumps(found))
"""


def program(folder, blocks, smaller, losses):
    """Writes code blocks of the guide into a file, made smaller."""
    code = "\n".join(blocks) + LAST.replace("LOSSES", losses)
    for large, small in {**SMALLER, **smaller}.items():
        assert large in code or large in SMALLER, large
        code = code.replace(large, small)
    path = folder / "train.py"
    path.write_text("import os, pathlib, sys\nos.chdir(sys.argv[1])\n" + code)
    return path


@pytest.fixture
def blocks():
    return re.findall("```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_fit_with_the_recipe_and_then_with_live_blocks_alone(blocks, tmp_path):
    fit, _, packed = blocks
    path = program(tmp_path, [fit, packed], FIT, "packed.history.history['loss']")
    codes, errors = start(tmp_path, script=path)
    assert codes == [0, 0], errors
    first, second = results(tmp_path, "guide")
    assert first == second and len(first["losses"]) == 2
    kernels = keras.models.load_model(tmp_path / "pruned.keras").layers[0].cell.weights[:2]
    zeros = np.concatenate([kernel.numpy().ravel() == 0 for kernel in kernels])
    assert zeros.mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.slow
def test_a_loop_of_ones_own_trains_what_one_process_trains(blocks, tmp_path):
    """Without the remedy."""
    _, loop, _ = blocks
    assert "enable" not in loop
    path = program(tmp_path, [loop], LOOP, "losses")
    codes, errors = start(tmp_path, script=path)
    assert codes == [0, 0], errors
    first, second = results(tmp_path, "guide")
    assert first == second and len(first["losses"]) == 10
    alone = tmp_path / "alone"
    alone.mkdir()
    codes, errors = start(alone, script=path, workers=1)
    assert codes == [0], errors
    (whole,) = results(alone, "guide", workers=1)
    np.testing.assert_allclose(first["losses"], whole["losses"], rtol=0, atol=1e-4)
    for mine, its in zip(first["weights"], whole["weights"]):
        np.testing.assert_array_equal(np.equal(mine, 0), np.equal(its, 0))
