"""What it costs to train on batches whose lengths differ, and what the C library has to do with it.

    python -m benchmarks.varying_lengths [--layers keras masked sparse] [--units 256] [--rounds 5]

Three bidirectional GRU layers, one after the other, trained by `train_on_batch` with Adam: Keras's (`keras`), ours in masked storage without a zero
(`masked`) and 90 % sparse in 16 x 16 (`sparse`). The batches are all of the mean length, or of many lengths; the steps of both take turns. glibc runs
as it is, or with settings that make it keep what is freed (`KEPT`), each in a process of its own, for it reads them when it starts.

Writes varying_lengths.json.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_sparse_rnn as ksr
from benchmarks.machine import describe
from benchmarks.training_speed import rounded, write

OUTPUT = pathlib.Path(__file__).parent / "results" / "varying_lengths.json"
LAYERS = {"keras": "Keras GRU", "masked": "masked storage, 0 %", "sparse": "masked storage, 90 % in 16 x 16"}
KEPT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_TOP_PAD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}
FEATURES = 80


def model(layer, options):
    """Three layers of two directions, compiled."""
    keras.utils.set_random_seed(0)
    arguments = {"storage": "masked", "block_shape": (16, 16), "sparsity": 0.9 if layer == "sparse" else 0.0}
    parts = [keras.Input((None, FEATURES))]
    for _ in range(3):
        make = keras.layers.GRU if layer == "keras" else ksr.layers.BlockSparseGRU
        cell = make(options.units, return_sequences=True, **({} if layer == "keras" else arguments))
        parts.append(keras.layers.Bidirectional(cell, merge_mode="sum"))
    made = keras.Sequential(parts)
    made.compile(keras.optimizers.Adam(1e-4), "mse")
    return made


def measured(layer, options):
    """Milliseconds of the steps: `{"equal": [...], "varying": [...]}`."""
    generator = np.random.default_rng(0)
    # As spoken sentences are: a half to twice of the mean.
    varying = (options.time * np.exp(generator.uniform(-0.7, 0.7, 24))).astype(int)
    step = model(layer, options)
    batches = {
        length: [tf.constant(generator.normal(size=(options.batch, length, width)), tf.float32) for width in (FEATURES, options.units)]
        for length in {*varying, round(varying.mean())}
    }
    for length in batches:
        step.train_on_batch(*batches[length])
    found = {"equal": [], "varying": []}
    for _ in range(options.rounds):
        for kind, lengths in (("equal", [round(varying.mean())] * len(varying)), ("varying", varying)):
            step.train_on_batch(*batches[lengths[-1]])
            begin = time.perf_counter()
            for length in lengths:
                step.train_on_batch(*batches[length])
            found[kind].append(1e3 * (time.perf_counter() - begin) / len(lengths))
    return found


def printed(milliseconds, console):
    table = Table("", "memory", "equal lengths", "varying lengths", title="Milliseconds a step")
    for layer, ways in milliseconds.items():
        for memory, found in ways.items():
            table.add_row(LAYERS[layer], memory, *(f"{statistics.median(found[kind]):.0f}" for kind in ("equal", "varying")))
    console.print(table)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", choices=list(LAYERS), default=list(LAYERS))
    for name, default in {"units": 256, "batch": 16, "time": 65, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT, metavar="FILE")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if options.child:
        print(json.dumps(measured(options.layers[0], options)))
        return
    if platform.libc_ver()[0] != "glibc":
        raise SystemExit("This compares settings of glibc, and Python runs on another C library here")
    milliseconds = {}
    for layer in options.layers:
        for memory, settings in {"as it is": {}, "kept": KEPT}.items():
            command = [sys.executable, "-m", "benchmarks.varying_lengths", *arguments, "--child", "--layers", layer]
            environment = {name: value for name, value in os.environ.items() if name not in KEPT} | settings
            run = subprocess.run(command, env=environment, cwd=pathlib.Path(__file__).parents[1], check=True, stdout=subprocess.PIPE, text=True)
            milliseconds.setdefault(layer, {})[memory] = json.loads(run.stdout.splitlines()[-1])
    printed(milliseconds, Console())
    settings = {name: getattr(options, name) for name in ("units", "batch", "time", "rounds")}
    results = {"machine": describe(threads=len(os.sched_getaffinity(0))), "settings": settings, "milliseconds": milliseconds}
    write(options.output, lambda path: path.write_text(json.dumps(rounded(results)) + "\n"))
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
