"""Runs the files that `stream_files.py` wrote in each of the ways in of the runtime that is
installed, with NumPy alone beside it, and compares the outputs with Keras's.

Argument: the folder. Prints one line of JSON: the runtime's version, and for each way in the
largest difference, and what it does not open, or why it is not there. Ends with 1 where a
difference is larger than the file's tolerance, or a file is not opened that should be.
"""

import importlib.metadata
import json
import pathlib
import sys

import numpy as np

SPARSE_COMPILED = (2, 1)  # the first whose CompiledModel opens files with sparse weights


def chunks_of(path):
    """The names of the states, and of each chunk the inputs and the expected outputs, by name."""
    with np.load(path.with_suffix(".npz")) as file:
        arrays = dict(file)
    parts = [
        {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(start)}
        for start in ("in/", "out/")
    ]
    count = len(next(iter(parts[0].values())))
    chunks = [
        [{key: array[number] for key, array in part.items()} for part in parts]
        for number in range(count)
    ]
    return [str(name) for name in arrays["states"]], chunks


def in_interpreter(interpreter, states, chunks):
    """The outputs of each chunk, by `Interpreter`'s signature runner."""
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details()
    carried = {name: np.zeros(details[name]["shape"], np.float32) for name in states}
    for inputs, _ in chunks:
        outputs = runner(**inputs, **carried)
        carried = {name: outputs.pop(name) for name in states}
        yield outputs


def in_compiled_model(model, sizes, states, chunks):
    """The outputs of each chunk, by `CompiledModel`; `sizes` are the shapes of the states."""
    key = "serving_default"
    signature = model.get_signature_list()[key]

    def create(kind, name):
        return getattr(model, f"create_{kind}_buffer_by_name")(key, name)

    begin = {name: create("input", name) for name in signature["inputs"]}
    end = {name: create("output", name) for name in signature["outputs"]}
    carried = {name: np.zeros(sizes[name], np.float32) for name in states}
    for inputs, expected in chunks:
        for name, array in {**inputs, **carried}.items():
            begin[name].write(np.ascontiguousarray(array))
        model.run_by_name(key, begin, end)
        carried = {
            name: np.asarray(end[name].read(int(np.prod(sizes[name])), np.float32))
            for name in states
        }
        carried = {name: array.reshape(sizes[name]) for name, array in carried.items()}
        yield {
            name: np.asarray(end[name].read(array.size, np.float32)).reshape(array.shape)
            for name, array in expected.items()
        }


def largest(outputs, chunks):
    """The largest difference from what is expected."""
    return max(
        float(np.abs(received[name] - array).max())
        for received, (_, expected) in zip(outputs, chunks, strict=True)
        for name, array in expected.items()
    )


def ways_in():
    """The names of the ways in, with what opens a file; or why there is none."""
    ways = {}
    try:
        from ai_edge_litert.interpreter import Interpreter

        ways["Interpreter"] = Interpreter
    except ImportError as error:
        ways["Interpreter"] = str(error)
    try:
        from ai_edge_litert.compiled_model import CompiledModel

        ways["CompiledModel"] = CompiledModel.from_file
    except ImportError as error:
        ways["CompiledModel"] = str(error)
    return ways


SPARSE = ("sparse", "integers")  # the files with weights that are stored without their zeros


def tolerance_of(path):
    """How far the outputs of a file may be from Keras's."""
    with np.load(path.with_suffix(".npz")) as file:
        return float(file["tolerance"])


def difference(path, way, open_file):
    """The largest difference of one file in one way in; None if it cannot be opened there."""
    states, chunks = chunks_of(path)
    if way != "CompiledModel":
        interpreter = open_file(model_path=str(path), num_threads=1)
        return largest(in_interpreter(interpreter, states, chunks), chunks)
    try:
        model = open_file(str(path))
    except RuntimeError:
        return None
    with np.load(path.with_suffix(".npz")) as file:
        sizes = {name: tuple(file[f"shape/{name}"]) for name in states}
    return largest(in_compiled_model(model, sizes, states, chunks), chunks)


def report_of(folder, version):
    """`{way in: largest difference of each file, or why there is none}`, and whether all is as it
    should be.
    """
    report, right = {}, True
    for way, open_file in ways_in().items():
        if isinstance(open_file, str):
            report[way] = open_file
            continue
        found = {path: difference(path, way, open_file) for path in sorted(folder.glob("*.tflite"))}
        refused = [path for path, one in found.items() if one is None]
        report[way] = {
            path.stem: float(f"{one:.1e}") for path, one in found.items() if one is not None
        }
        if refused:
            report[f"{way} does not open"] = [path.name for path in refused]
        right = right and all(
            path.stem in SPARSE and version < SPARSE_COMPILED
            if one is None
            else one < tolerance_of(path)
            for path, one in found.items()
        )
    return report, right


if __name__ == "__main__":
    version = importlib.metadata.version("ai-edge-litert")
    report, right = report_of(
        pathlib.Path(sys.argv[1]), tuple(int(part) for part in version.split(".")[:2])
    )
    print(json.dumps({"ai-edge-litert": version, **report}))
    sys.exit(not right)
