import json

import numpy as np

from experiments.navigation import moduli_blocks
from keras_sparse_rnn.manifolds import Torus


def test_the_echo_is_the_input_of_some_steps_ago():
    x, y = moduli_blocks.echo(3, seed=1)
    np.testing.assert_array_equal(y[:, moduli_blocks.DELAY :], x[:, : -moduli_blocks.DELAY])
    assert not y[:, : moduli_blocks.DELAY].any()


def test_single_weights_are_the_best_and_random_places_the_worst():
    rows = moduli_blocks.measure(Torus(), 96, seeds=2, block_shapes=((4, 4),), sparsities=(0.9,))
    best, *others = [
        next(cell for name, cell in row.items() if name.startswith("0.9")) for row in rows
    ]
    random, patches, lattice = (mean for mean, _ in others)
    assert best[1] == 1 and best[0] < min(patches, lattice) < max(patches, lattice) < random


def test_the_quick_run_writes_its_pictures_and_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(moduli_blocks, "MANIFOLDS", (Torus(),))
    missed, kernel = moduli_blocks.train(
        None, 64, 5, seed=0
    )  # once: four of them take long to trace
    assert kernel.shape == (64, 64) and 50 < missed < 500
    monkeypatch.setattr(
        moduli_blocks, "train", lambda regularizer, units, steps, seed: (missed, kernel)
    )
    moduli_blocks.main(["--quick", "--seeds", "1", "--out", str(tmp_path)])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "moduli-order.png",
        "moduli-trained.png",
        "moduli-neurons.png",
        "moduli_blocks.json",
    }
    results = json.loads((tmp_path / "moduli_blocks.json").read_text())
    assert len(results["blocks"]) == 4 and len(results["trained"]) == 4
    assert "lattice, in patches" in capsys.readouterr().out
