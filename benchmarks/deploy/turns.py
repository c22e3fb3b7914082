"""Runs the roads of a case, each in a process of its own, in turns."""

import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np

from benchmarks import machine
from benchmarks.deploy import files
from benchmarks.deploy.roads import ROADS, SPARSITY
from keras_sparse_rnn.export import library

ROOT = pathlib.Path(__file__).parents[2]
CORES = 2  # that prepare at once
CROSS = ("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
FIGURES = {  # of a turn, and what they are called in the results
    "step": "microseconds_per_step",
    "load": "load_milliseconds",
    "load_prepared": "load_milliseconds_prepared",
    "step_of_many": "microseconds_per_step_in_one_call",
    "step_of_streams": "microseconds_per_step_of_a_stream_together",
}


class Process:
    """A road's process: it has run once when this returns.

    Raises:
        RuntimeError: it ended before; the message has its last line.
    """

    def __init__(self, command, log):
        self.log = log
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.first = self._answer()

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.close()
            last = (self.log.read_text().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{self.process.args} ended: {last}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def has_onnx(python):
    """Whether ONNX's graphs can be built and run in a Python."""
    asked = [python, "-c", "import onnx, onnxruntime.quantization"]
    return subprocess.run(asked, capture_output=True).returncode == 0


def measured(case, folder, options, versions):
    """What was measured of a case, a dict; puts the versions of the runtimes into `versions`.

    Args:
        case: a `Case`.
        folder: an empty one, for its files.
        options: `seconds` of a turn, `rounds`, and `onnx_python`, or None to leave ONNX out.
    """
    files.write(case, folder)
    roads = [road for road in ROADS if road.kind != "onnx" or options.onnx_python]
    if options.onnx_python:
        build = [options.onnx_python, "-m", "benchmarks.deploy.onnx_files", folder]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        found = dict(
            zip([road.name for road in roads], pool.map(lambda road: facts_of(road, folder), roads))
        )
    runs, times = {}, {}
    try:
        with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
            keys = [(road, threads) for road in roads for threads in road.threads]
            started = [pool.submit(start, *key, folder, options) for key in keys]
            for key, each in zip(keys, started):
                runs[key] = each.result()
        for (road, threads), run in runs.items():
            first = dict(run.first)
            record = {"peak_bytes": first.pop("peak_bytes")}
            found[road.name]["threads"][str(threads)] = record
            found[road.name]["error"] = max(
                found[road.name].get("error", 0.0), difference(run.outputs, road, folder)
            )
            versions |= first
        for _ in range(options.rounds):
            for key, run in runs.items():
                times.setdefault(key, []).append(run.turn())
    finally:
        for run in runs.values():
            run.close()
    for (road, threads), rounds in times.items():
        best = {FIGURES[name]: min(one[name] for one in rounds) for name in rounds[0]}
        found[road.name]["threads"][str(threads)] |= best
    return {
        "inputs": case.inputs,
        "units": case.units,
        "sparsity": SPARSITY,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "roads": found,
    }


def facts_of(road, folder):
    """What is known of a road's file before it runs: its bytes, and those of the code of a C
    program, which is built here. It is also built for aarch64 and run in an emulator, where there
    are a compiler and one.
    """
    path = folder / road.file
    facts = {"bytes": (path / "model.ksr" if path.is_dir() else path).stat().st_size}
    if road.kind == "c":
        files.build(path)
        facts["code_bytes"] = (path / "model").stat().st_size - facts["bytes"]
        if all(map(shutil.which, CROSS)):
            facts["error_on_aarch64"] = emulated(road, path)
    return {**facts, "threads": {}}


def emulated(road, path):
    """The difference from Keras of a program for aarch64, under qemu."""
    copy, outputs = path.with_name(f"{path.name}-aarch64"), path.with_suffix(".aarch64")
    shutil.copytree(path, copy)
    program = files.build(copy, CROSS[0], "-static")
    asked = [CROSS[1], program, path.parent / "frames.f32", outputs, "0"]
    subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return difference(outputs, road, path.parent)


def start(road, threads, folder, options):
    """The process of a road with so many threads; `outputs` is where it wrote what it computed."""
    outputs = folder / f"{ROADS.index(road)}-{threads}.f32"
    run = Process(command(road, folder, threads, outputs, options), outputs.with_suffix(".log"))
    run.outputs = outputs
    return run


def command(road, folder, threads, outputs, options):
    """What runs a road's file."""
    path, frames = folder / road.file, folder / "frames.f32"
    if road.kind == "c":
        return [path / "model", frames, outputs, str(options.seconds)]
    python = options.onnx_python if road.kind == "onnx" else sys.executable
    asked = [python, "-m", "benchmarks.deploy.worker", road.kind, path, str(threads), frames]
    delegate = [library.path()] if road.file.startswith("ours") else []
    return list(map(os.fspath, [*asked, outputs, str(options.seconds), *delegate]))


def difference(outputs, road, folder):
    """The largest one from Keras, relative to its largest output."""
    name = "sparse.f32" if road.sparse else "dense.f32"
    found, expected = (np.fromfile(path, np.float32) for path in (outputs, folder / name))
    return float(np.abs(found - expected).max() / np.abs(expected).max())
