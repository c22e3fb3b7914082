"""Exports the chosen models for every runtime, and counts there how many clips of the test are told
right.

    python -m examples.keyword_spotting.deploy [--folder build/keyword_spotting] [--data FOLDER]

The test is read here and nowhere else, once all settings are chosen. LiteRT files of float32
compute what Keras does to 1e-4, which their export checks: they have Keras's accuracy. All others
are run frame by frame in their own runtime. What has been deployed is kept, with a record beside
it."""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_sparse_rnn as ksr
import ksr_runtime

from . import data, onnx_files, plan
from .files import whole, write_json
from .spoken import LABELS
from .train import add_arguments, check_source

# name: what is exported, for which kinds, where its file lies in the folder of a model
ROADS = {
    "LiteRT, dense float32": ("dense", "litert.tflite"),
    "LiteRT, dense int8": ("dense", "litert-int8.tflite"),
    "ONNX Runtime, dense float32": ("dense", onnx_files.NAMES["float32"]),
    "ONNX Runtime, dense int8": ("dense", onnx_files.NAMES["int8"]),
    "our C, dense float32": ("dense", "c/model.ksr"),
    "our C, dense int8": ("dense", "c-int8/model.ksr"),
    "LiteRT, sparse float32": ("pruned", "litert.tflite"),
    "LiteRT, sparse int8": ("pruned", "litert-int8.tflite"),
    "LiteRT with our operators, float32": ("pruned", "ours.tflite"),
    "LiteRT with our operators, int8": ("pruned", "ours-int8.tflite"),
    "our C, pruned float32": ("pruned", "c/model.ksr"),
    "our C, pruned int8": ("pruned", "c-int8/model.ksr"),
}
METADATA = {"sample_rate": 16_000, "labels": list(LABELS)}


def roads(kind):
    """The roads that a model of this kind takes, and their files; ONNX's only where it is."""
    return {
        road: file
        for road, (of, file) in ROADS.items()
        if of == kind and (has_onnx() or not file.endswith(".onnx"))
    }


def has_onnx():
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def export(model, kind, folder):
    """Writes the files of all roads of a model into a folder."""
    litert = {"streaming": True, "metadata": METADATA}
    ksr.export_litert(model, folder / "litert.tflite", **litert)
    # Random inputs say little about what rounding costs: the test does.
    rounded = {"weights": "int8", "tolerance": 0.5}
    ksr.export_litert(model, folder / "litert-int8.tflite", **rounded, **litert)
    integers = {**rounded, "activations": "int8"}
    if kind == "pruned":
        ksr.export_litert(model, folder / "ours.tflite", "ksr", **litert)
        ksr.export_litert(model, folder / "ours-int8.tflite", "ksr", **integers, **litert)
    elif has_onnx():
        onnx_files.write(model, folder)
    ksr.export_c(model, folder / "c", metadata=METADATA)
    ksr.export_c(model, folder / "c-int8", metadata=METADATA, **integers)


def accuracies(model, kind, folder, clips):
    """The share of the test's clips that each road tells right, by the road's name."""
    frames, labels = data.streams(*clips)
    right = lambda logits: float((data.decisions(logits) == labels).mean())
    found = dict.fromkeys(roads(kind), right(model.predict(frames, batch_size=16, verbose=0)))
    for road, file in roads(kind).items():
        path = folder / file
        if path.suffix == ".ksr":
            found[road] = right(_streamed(ksr_runtime.Model(path).stream(), frames))
        elif "int8" in file and path.suffix == ".tflite":
            found[road] = right(_streamed(ksr.export.Stream(path, num_threads=1), frames))
    if kind == "dense" and has_onnx():
        found.update(_of_onnx(folder, frames, labels))
    return found


def _streamed(stream, frames):
    """The logits of all frames, one at a time."""
    logits = []
    for sequence in frames:
        stream.reset()
        logits.append([stream(frame[None, None])[0, 0] for frame in sequence])
    return logits


def _of_onnx(folder, frames, labels):
    with tempfile.TemporaryDirectory() as temporary:
        file = pathlib.Path(temporary, "test.npz")
        np.savez(file, x=frames, y=labels)
        module = onnx_files.__name__
        command = [sys.executable, "-m", module, "accuracy", str(folder), str(file)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {f"ONNX Runtime, dense {precision}": value for precision, value in found.items()}


def deployed(run, folder):
    """Where it is recorded what has become of a run's model: beside its files."""
    return folder / "deployed" / run.name / "record.json"


def deploy(run, folder, clips):
    """Exports a run's model, measures its accuracies and records them."""
    path = folder / "models" / (run.name + ".keras")
    with whole(folder / "deployed" / run.name) as draft:
        draft.mkdir()
        model = keras.models.load_model(path)
        export(model, run.kind, draft)
        known = {
            "test": accuracies(model, run.kind, draft, clips),
            "bytes": {
                road: (draft / file).stat().st_size for road, file in roads(run.kind).items()
            },
        }
        write_json(draft / "record.json", known)
    print(run.name, json.dumps(known["test"]), flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    options = parser.parse_args(arguments)
    check_source(options)
    runs = plan.finished(options.folder, options.epochs)
    clips = data.load("test", options.folder / "features", options.data, options.count)
    for run in runs:
        if not deployed(run, options.folder).exists():
            deploy(run, options.folder, clips)


if __name__ == "__main__":
    main()
