"""Exported programs on processors of other kinds: cross-compiled, and run under qemu. `make
test-other-machines` runs these tests; what is not installed is skipped in words.
"""

import os
import shutil
import subprocess

import keras
import numpy as np
import pytest
from exported_models import sequential

from keras_sparse_rnn.export import export_c

K = keras.layers
MACHINES = {"aarch64": "aarch64-linux-gnu-gcc", "arm": "arm-linux-gnueabihf-gcc"}
X = np.random.default_rng(0).normal(size=(1, 6, 20)).astype("float32")


@pytest.mark.slow
def test_cmake_builds_the_program_too(tmp_path):
    """What `build.sh` makes of the folder, every other export tries."""
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    model = sequential(K.LSTM(4), K.Dense(2), features=3)
    export_c(model, tmp_path / "c", name="small")
    for command in (["cmake", "-B", "made"], ["cmake", "--build", "made"]):
        subprocess.run(command, cwd=tmp_path / "c", check=True, capture_output=True)
    text, x = "0.5 0 -1", np.array([[[0.5, 0, -1]]], "f")
    program = tmp_path / "c" / "made" / "small"
    ran = subprocess.run([program], input=text, text=True, capture_output=True, check=True)
    np.testing.assert_allclose([float(n) for n in ran.stdout.split()], model(x)[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_runs_on_another_processor(machine, weights, tmp_path, monkeypatch):
    """armv7 has no kernels of its own here: it runs those in plain C++. With integers every
    processor gives the same bits.
    """
    compiler, emulator = MACHINES[machine], f"qemu-{machine}-static"
    for tool in (compiler, emulator):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    layers = [
        K.Conv1D(16, 3, padding="causal", activation="relu"),
        K.GRU(24, return_sequences=True),
        K.LSTM(12, return_sequences=True),
        K.Dense(5),
    ]
    model = sequential(*layers, features=20)
    monkeypatch.setenv("CFLAGS", "-O1")
    folder = tmp_path / "c"
    export_c(model, folder, weights, weights)
    text = "\n".join(" ".join(map(str, frame)) for frame in X[0].tolist())

    def printed(command, **variables):
        environment = {**os.environ, **variables}
        subprocess.run(["sh", "build.sh"], cwd=folder, check=True, env=environment)
        ran = subprocess.run(command, input=text, text=True, capture_output=True, check=True)
        return np.array([line.split() for line in ran.stdout.splitlines()], "f")

    here = printed([folder / "model"])
    there = printed([emulator, folder / "model"], CC=compiler, LDFLAGS="-static")
    if weights == "int8":
        np.testing.assert_array_equal(there, here)
    else:
        np.testing.assert_allclose(there, np.asarray(model(X))[0], atol=1e-5)
