"""The paper's protocol in `docs/moduli.md`: its code prunes as the paper does, on smaller sizes."""

import pathlib
import re

import keras
import numpy as np

import keras_sparse_rnn as ksr

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "moduli.md").read_text(encoding="utf-8")
SMALLER = {
    "cells, units, steps = 512, 4096, 50": "cells, units, steps = 24, 32, 5",
    "epochs, batches, batch = 30, 1000, 200": "epochs, batches, batch = 30, 2, 4",
}


def test_the_protocol_of_the_paper_prunes_four_kernels_together_linearly_to_the_last_epoch():
    (section,) = re.findall("## The paper's protocol in code\n(.*?)\n## ", GUIDE, re.DOTALL)
    (code,) = re.findall("```python\n(.*?)```", section, re.DOTALL)
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    activities = np.eye(24, dtype="float32")[generator.integers(0, 24, (8, 5))]
    names = {
        "keras": keras,
        "ksr": ksr,
        "starts": generator.uniform(size=(8, 24)).astype("float32"),
        "velocities": generator.normal(size=(8, 5, 2)).astype("float32"),
        "activities": activities,
    }
    exec(compile(code, "docs/moduli.md", "exec"), names)
    model, history = names["model"], names["history"]
    cell = model.get_layer("rnn").cell
    kernels = [model.get_layer(name).kernel.numpy() for name in ("encoder", "decoder")]
    kernels += [cell.kernel.numpy(), cell.recurrent_kernel.numpy()]
    assert len(model.weights) == 4
    live = np.concatenate([kernel[kernel != 0] for kernel in kernels])
    total = sum(kernel.size for kernel in kernels)
    assert abs(live.size - 0.1 * total) <= 1
    assert len({np.mean(kernel != 0) for kernel in kernels}) == 4  # of all kernels together
    assert len(model.losses) == 1
    expected = np.minimum(0.9 * np.arange(1, 31) / 29, 0.9)
    np.testing.assert_allclose(history.history["sparsity"], expected, atol=1 / total)
