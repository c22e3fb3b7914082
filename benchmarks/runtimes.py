"""What a step of an exported LSTM takes in C and in `ksr_runtime`, and how soon a file is ready.

    python -m benchmarks.runtimes [--inputs 256] [--units 512] [--large 2048] [--rounds 20]

An LSTM of which 90 % of the blocks of (16, 16) are zero is exported in float32, and in int8 with
int8 activations. One thread, one frame at a time: in the exported program, whose `main.c` is
replaced by one that counts time; in `ksr_runtime`, called from Python for each frame; and there in
one call for many frames. The best of the rounds counts. A large LSTM, of `--large` units and half
as many inputs, says how long it takes from the file to the first output, prepared before and not.

Writes runtimes.json."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_sparse_rnn as ksr
import ksr_runtime
from benchmarks import machine
from benchmarks.training_speed import write

OUTPUT = pathlib.Path(__file__).parent / "results" / "runtimes.json"
FRAMES = 1000  # of a round
PRECISIONS = "float32", "int8"  # of weights, and of activations
PROGRAM = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>
#include "model.h"
static _Alignas(MODEL_ALIGNMENT) unsigned char memory[MODEL_BYTES];
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}
int main(void) {
  model* m = model_init(memory);
  static float x[MODEL_X_WIDTH], y[MODEL_Y_WIDTH];
  for (int i = 0; i < MODEL_X_WIDTH; ++i) x[i] = 0.1f * (float)(i % 7);
  double best = 1e30;
  for (int round = 0; round < @ROUNDS@; ++round) {
    double begin = now();
    for (int i = 0; i < @FRAMES@; ++i) model_step(m, x, y);
    double taken = (now() - begin) / @FRAMES@;
    if (taken < best) best = taken;
  }
  printf("%.4f\\n", best);
}
"""


def lstm(inputs, units):
    """An LSTM with nine of ten blocks zero."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.LSTM(units, return_sequences=True, name="y")
    model = keras.Sequential([keras.Input((None, inputs), name="x"), layer])
    ksr.prune(model, 0.9, block_shape=(16, 16))
    return model


def in_c(folder, rounds):
    """Microseconds of a step in the exported program."""
    program = PROGRAM.replace("@ROUNDS@", str(rounds)).replace("@FRAMES@", str(FRAMES))
    (folder / "main.c").write_text(program)
    subprocess.run(["sh", "build.sh"], cwd=folder, check=True)
    return float(subprocess.run([folder / "model"], capture_output=True, check=True).stdout)


def in_python(file, rounds):
    """Microseconds of a step in `ksr_runtime`: a call for each frame, and one for many."""
    model = ksr_runtime.Model(file)
    frame = np.random.default_rng(0).normal(size=(1, 1, model.inputs[0].width)).astype("float32")
    many, stream = np.repeat(frame, FRAMES, axis=1), model.stream()

    def call():
        for _ in range(FRAMES):
            stream(frame)

    return best(call, rounds) / FRAMES, best(lambda: stream(many), rounds) / FRAMES


def start(file):
    """Microseconds from the file to a stream's first output."""
    model = ksr_runtime.Model(file)
    model.stream()(np.zeros((1, 1, model.inputs[0].width), "float32"))


def best(act, rounds):
    """The least microseconds that `act` took, after once to warm up."""
    act()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        act()
        times.append(time.perf_counter() - begin)
    return 1e6 * min(times)


def measure(inputs, units, large, rounds, folder):
    """All figures, as a dict."""
    steps, model = {}, lstm(inputs, units)
    for precision in PRECISIONS:
        target = folder / precision
        summary = ksr.export_c(model, target, precision, precision)
        one, many = in_python(target / "model.ksr", rounds)
        steps[precision] = {
            "bytes": summary.bytes,
            "times_smaller": summary.ratio,
            "code_bytes": summary.code_bytes,
            "c": in_c(target, rounds),
            "python": one,
            "python_many": many,
        }
    ksr.export_c(lstm(large // 2, large), folder / "large")
    file, prepared = folder / "large" / "model.ksr", folder / "prepared.ksr"
    ksr_runtime.Model(file).save(prepared)
    starts = {
        "bytes": file.stat().st_size,
        "file": 1e-3 * best(lambda: start(file), rounds),
        "prepared": 1e-3 * best(lambda: start(prepared), rounds),
    }
    return {"steps": steps, "start": starts}


def table(results):
    """The table of docs/deployment.md."""
    names = {
        "bytes": "`model.ksr`, bytes",
        "times_smaller": "smaller than dense float32, times",
        "code_bytes": "code of the program, bytes",
        "c": "a step in C, microseconds",
        "python": "a step in `ksr_runtime`, a call for each",
        "python_many": f"a step in `ksr_runtime`, {FRAMES:,} in a call",
    }
    lines = ["| | float32 | int8, int8 activations |", "|---|---|---|"]
    for key, name in names.items():
        values = [results["steps"][precision][key] for precision in PRECISIONS]
        shown = [f"{value:,}" if isinstance(value, int) else f"{value:.1f}" for value in values]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=256)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--large", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = {name: getattr(chosen, name) for name in ("inputs", "units", "large", "rounds")}
        results = measure(**settings, folder=pathlib.Path(folder))
    content = {"settings": settings, "machine": machine.describe(1), **results}
    write(chosen.output, lambda draft: draft.write_text(json.dumps(content, indent=1) + "\n"))
    print(table(results))
    print(json.dumps(results["start"]))


if __name__ == "__main__":
    sys.exit(main())
