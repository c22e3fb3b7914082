"""Exported models beside others: in one program, and in a folder that was there before."""

import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from exported_models import sequential

from keras_sparse_rnn.export import export_c
from keras_sparse_rnn.export.c import program

K = keras.layers
X = np.random.default_rng(0).normal(size=(1, 2, 5)).astype("float32")
PROGRAM = """
#include <stdio.h>
#include "command/command.h"
#include "wake/wake.h"
static _Alignas(64) unsigned char first[WAKE_BYTES], second[COMMAND_BYTES];
int main(void) {
  wake* w = wake_init(first);
  command* c = command_init(second);
  if (!w || !c) return fputs(w ? command_error(second) : wake_error(first), stderr), 1;
  float x[5], y[6];
  while (scanf("%f %f %f %f %f", x, x + 1, x + 2, x + 3, x + 4) == 5) {
    if (wake_step(w, x, y) || command_step(c, x, y + 2)) return 1;
    printf("%.9g %.9g %.9g %.9g %.9g %.9g\\n", y[0], y[1], y[2], y[3], y[4], y[5]);
  }
}
"""


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """An export takes no seconds then."""
    monkeypatch.setenv("CC", "/nonexistent/cc")


def write(folder):
    """Two models with other kernels each, exported, and what Keras says of `X`."""
    wake = [K.LSTM(8, return_sequences=True), K.Dense(2)]
    command = [K.GRU(12, return_sequences=True), K.Softmax(), K.Dense(4)]
    models = {"wake": sequential(*wake, features=5), "command": sequential(*command, features=5)}
    for name, model in models.items():
        export_c(model, folder / name, "int8" if name == "wake" else "float32", name=name)
    return np.concatenate([np.asarray(model(X))[0] for model in models.values()], axis=1)


def run(program):
    text = " ".join(map(str, X.ravel().tolist()))
    ran = subprocess.run([program], input=text, text=True, capture_output=True, check=True)
    return [[float(number) for number in line.split()] for line in ran.stdout.splitlines()]


def test_a_program_may_have_several_models(tmp_path):
    """Each brings the functions that it runs, under names of its own. One instruction set is
    enough here, and compiles in a moment.
    """
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("there is no compiler")
    expected = write(tmp_path)
    (tmp_path / "main.c").write_text(PROGRAM)
    objects = []
    for name in ("wake", "command"):
        for part in (tmp_path / name / "ksr" / "prepared", tmp_path / name / "ksr" / "model"):
            options = ["-std=c++17", "-DKSR_NAME=plain", "-fno-exceptions", "-fno-rtti"]
            subprocess.run([compiler, *options, "-c", *part.glob("*.cc")], cwd=part, check=True)
            objects += part.glob("*.o")
        objects.append(tmp_path / name / f"{name}.c")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.c"]
    command = [compiler, *strict, *objects, "-lm", "-o", "both"]
    subprocess.run(command, cwd=tmp_path, check=True)
    np.testing.assert_allclose(run(tmp_path / "both"), expected, atol=0.02)


@pytest.mark.slow
def test_cmake_builds_a_program_of_several_models(tmp_path, monkeypatch):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    expected = write(tmp_path)
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(both C CXX)\nadd_subdirectory(wake)\n"
        "add_subdirectory(command)\nadd_executable(both main.c)\n"
        "target_include_directories(both PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})\n"
        "target_link_libraries(both PRIVATE wake_model command_model)\n"
    )
    monkeypatch.delenv("CC")
    for command in (["cmake", "-B", "made"], ["cmake", "--build", "made"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(run(tmp_path / "made" / "both"), expected, atol=0.02)


def test_a_folder_with_files_of_others_is_not_replaced(tmp_path):
    """Also where these are called as those of an export are: a program of somebody's own."""
    model = sequential(K.LSTM(4))
    for name in ("main.c", "CMakeLists.txt", "model.h"):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / name).write_text("mine")
    with pytest.raises(ValueError) as error:
        export_c(model, tmp_path / "own")
    assert str(error.value) == (
        "`folder` must be new, empty, or an earlier export of this name, which is replaced. "
        f"Received: folder={tmp_path / 'own'!r}, which has CMakeLists.txt, main.c, model.h"
    )
    assert [path.read_text() for path in (tmp_path / "own").iterdir()] == ["mine"] * 3


def test_a_link_to_a_folder_goes_on_pointing_to_it(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for _ in range(2):
        export_c(sequential(K.LSTM(4)), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "elsewhere" / "model.ksr").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]


def test_an_input_may_be_called_as_a_function_is(tmp_path):
    x = keras.Input((None, 2), name="model_step")
    export_c(keras.Model(x, K.Dense(2, name="NULL")(x)), tmp_path / "c")
    header = (tmp_path / "c" / "model.h").read_text()
    assert (
        "int model_step(model* model, const float model_step_1[MODEL_MODEL_STEP_1_WIDTH], "
        "float NULL_1[MODEL_NULL_1_WIDTH]);" in header
    )


def test_a_compiler_for_another_machine_is_told_from_a_broken_program(tmp_path, monkeypatch):
    """Its programs do not start here, and cannot be compared with Keras."""
    compiler = tmp_path / "cross-cc"
    compiler.write_text(
        '#!/bin/sh\nfor file; do :; done\ncase "$file" in -) ;; *) echo other > "$file";'
        ' chmod +x "$file" ;; esac\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(ValueError) as error:
        export_c(sequential(K.LSTM(4)), tmp_path / "c")
    assert str(error.value) == (
        "the exported program must start on this machine, to be compared with Keras; nothing was "
        f"written. Received: a program of the compiler {str(compiler)!r}, and Exec format error. "
        "Export with a compiler for this machine, or none, in the environment variable CC, and "
        "build the folder for another one afterwards: CC=... sh build.sh"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["cross-cc"]


SLOW = {
    "compiler": ("exec sleep 60", "must compile with {!r} in 1 seconds; nothing was written"),
    "program": (
        'printf "#!/bin/sh\\nexec sleep 60\\n" > "$file"; chmod +x "$file"',
        "must compute 24 frames in 1 seconds, to be compared with Keras; nothing was written. "
        "Received: a program of the compiler {!r} that was still at work",
    ),
}


@pytest.mark.parametrize("which", SLOW)
def test_a_compiler_or_program_that_does_not_end_is_not_waited_for(tmp_path, monkeypatch, which):
    compiler, (does, message) = tmp_path / "slow-cc", SLOW[which]
    compiler.write_text(
        f'#!/bin/sh\nfor file; do :; done\ncase "$file" in -) ;; *) {does} ;; esac\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(program, "LONGEST", 1)
    with pytest.raises(ValueError, match=re.escape(message.format(str(compiler)))):
        export_c(sequential(K.LSTM(4)), tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["slow-cc"]
