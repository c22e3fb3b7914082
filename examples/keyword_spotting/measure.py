"""Measures what a frame takes in every deployed file, and writes all results.

    python -m examples.keyword_spotting.measure [--folder build/keyword_spotting] [--rounds 7]

One frame at a time, one thread; the files of a runtime take turns, and the median of the rounds
counts. LiteRT and ONNX Runtime are called from Python, each in a process of its own, C from C. Two
minutes, on a machine that does nothing else. Writes results/keyword_spotting.json, from which
`python -m examples.keyword_spotting.chart` draws."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_sparse_rnn as ksr
import ksr_runtime

from . import onnx_files, plan, spoken
from .deploy import deployed, roads
from .files import write_json
from .front_end import MELS
from .train import add_arguments, check_source

RESULTS = pathlib.Path(__file__).parent / "results" / "keyword_spotting.json"
FRAMES = 5000  # of a round in C


def in_litert(paths, rounds):
    """Microseconds of an invocation of each file."""
    generator, invokes = np.random.default_rng(0), []
    for path in paths:
        interpreter = ksr.export.Interpreter(path, num_threads=1)
        for each in interpreter.get_input_details():
            array = np.clip(generator.normal(size=each["shape"]), -0.9, 0.9)
            interpreter.set_tensor(each["index"], array.astype(np.float32))
        invokes.append(interpreter.invoke)
    return onnx_files.microseconds(invokes, rounds)


def in_onnx(paths, rounds):
    """Microseconds of a run of each file, in a process of its own."""
    command = [sys.executable, "-m", onnx_files.__name__, "time", str(rounds), *map(str, paths)]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    return list(json.loads(printed).values())


def in_c(paths, rounds):
    """Microseconds of a frame of each `model.ksr`, called from C through `ksr_model.h`."""
    library = pathlib.Path(ksr_runtime.__file__).with_name("_ksr.so")
    headers = pathlib.Path(ksr.__file__).parent / "native" / "core"
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "steps")
        source = pathlib.Path(__file__).with_name("steps.c")
        command = [os.environ.get("CC", "cc"), "-O2", f"-I{headers}", source, library]
        command += [f"-Wl,-rpath,{library.parent}", "-o", program]
        subprocess.run(command, check=True)
        command = [program, str(rounds), str(FRAMES), *paths]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = printed.splitlines()
    return [statistics.median(float(text) for text in line.split()) for line in lines]


def in_python(paths, rounds):
    """Microseconds of a call of a stream of `ksr_runtime` of each file."""
    frame = np.random.default_rng(0).normal(size=(1, 1, MELS)).astype(np.float32)
    streams = [ksr_runtime.Model(path).stream() for path in paths]
    return onnx_files.microseconds([lambda s=stream: s(frame) for stream in streams], rounds)


MEASURES = {".tflite": in_litert, ".onnx": in_onnx, ".ksr": in_c}


def measured(runs, folder, rounds):
    """A list of dicts, one for each model: what is known of it, and its files by road."""
    models, files = [], []
    for run in runs:
        place = folder / "deployed" / run.name
        known, record = run.result(folder), json.loads(deployed(run, folder).read_text())
        known["files"] = {
            road: {"bytes": record["bytes"][road], "test": record["test"][road]}
            for road in record["test"]
        }
        models.append(known)
        files += [
            (place / file, known["files"][road])
            for road, file in roads(run.kind).items()
            if road in known["files"]
        ]
    for suffix, measure in MEASURES.items():
        chosen = [(path, entry) for path, entry in files if path.suffix == suffix]
        if not chosen:
            continue
        print(f"{len(chosen)} files {suffix}", file=sys.stderr, flush=True)
        for (_, entry), time in zip(chosen, measure([path for path, _ in chosen], rounds)):
            entry["microseconds"] = round(time, 3)
        if suffix == ".ksr":
            times = in_python([path for path, _ in chosen], rounds)
            for (_, entry), time in zip(chosen, times):
                entry["python_microseconds"] = round(time, 3)
    return models


def machine():
    """What the times depend on."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    except OSError:
        names = []
    return {"processor": names[0] if names else platform.processor(), "threads": 1}


def searched(folder, epochs):
    """What was tried on the validation: a list of dicts."""
    runs = [
        run.result(folder)
        for kind, sizes in plan.UNITS.items()
        for units in sizes
        for run in plan.search(kind, units, folder, epochs)
    ]
    shown = ("kind", "units", "learning_rate", "dropout", "lasso", "validation")
    return [{key: run[key] for key in shown} for run in runs if run]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=pathlib.Path, default=RESULTS, help="the file to write")
    options = parser.parse_args(arguments)
    check_source(options)
    runs = plan.finished(options.folder, options.epochs)
    ready = [run for run in runs if deployed(run, options.folder).exists()]
    if len(ready) < len(runs) or not runs:
        print(f"{len(ready)} of {len(runs)} trained models are deployed", file=sys.stderr)
    models = measured(ready, options.folder, options.rounds)
    results = {
        "machine": machine(),
        "data": options.data or "espeak-ng",
        "clips": spoken.COUNTS if options.count is None else options.count,
        "epochs": options.epochs,
        "search": searched(options.folder, options.epochs),
        "models": models,
    }
    write_json(options.json, results)


if __name__ == "__main__":
    main()
