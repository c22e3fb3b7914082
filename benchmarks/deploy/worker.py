"""A process that runs one file in Python, and nothing else: neither TensorFlow nor Keras.

    python -m benchmarks.deploy.worker KIND FILE THREADS FRAMES OUTPUTS SECONDS [DELEGATE]

reads raw float32 FRAMES, writes raw OUTPUTS, and prints how far its memory rose. Then it prints
what a turn of SECONDS found, for each line that it reads. All of it is JSON, one object a line."""

import importlib.metadata
import json
import pathlib
import sys
import time

import numpy as np

from benchmarks.deploy.roads import FRAMES
from benchmarks.machine import resident

REFERENCES = pathlib.Path("/proc/self/clear_refs")
WARM = 100  # steps, before memory is read
MANY = 256  # frames in one call
STRETCH = 0.002  # seconds
TOGETHER = 16  # streams in one call


class LiteRT:
    """A file in LiteRT's interpreter. Names that are inputs and outputs alike are states."""

    package = "ai-edge-litert"

    def __init__(self, file, threads, delegate=None):
        from ai_edge_litert.interpreter import Interpreter, load_delegate

        delegates = [load_delegate(delegate)] if delegate else None
        self.interpreter = Interpreter(
            str(file), num_threads=threads, experimental_delegates=delegates
        )
        self.interpreter.allocate_tensors()
        runner = self.interpreter.get_signature_runner()
        ins, outs = (
            {name: each["index"] for name, each in details.items()}
            for details in (runner.get_input_details(), runner.get_output_details())
        )
        self.states = [(ins.pop(name), outs.pop(name)) for name in sorted({*ins} & {*outs})]
        (self.x,), (self.y,) = ins.values(), outs.values()
        for before, _ in self.states:
            shape = self.interpreter.get_tensor(before).shape
            self.interpreter.set_tensor(before, np.zeros(shape, np.float32))

    def __call__(self, frame):
        self.interpreter.set_tensor(self.x, frame)
        self.interpreter.invoke()
        after = [self.interpreter.get_tensor(after) for _, after in self.states]
        for (before, _), array in zip(self.states, after):
            self.interpreter.set_tensor(before, array)
        return self.interpreter.get_tensor(self.y)

    def ways(self, frame):
        return {"step": (self.interpreter.invoke, 1)}


class Onnx:
    """A file in ONNX Runtime. The new value of a state `h` is called `next_h`."""

    package = "onnxruntime"

    def __init__(self, file, threads):
        import onnxruntime

        self.values = onnxruntime.OrtValue
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
        settings.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(file), settings, providers=["CPUExecutionProvider"]
        )
        self.states = {
            each.name: np.zeros(each.shape, np.float32)
            for each in self.session.get_inputs()
            if each.name != "x"
        }

    def __call__(self, frame):
        y, *after = self.session.run(None, {"x": frame, **self.states})
        self.states.update(zip(self.states, after))
        return y

    def ways(self, frame):
        """Inputs and outputs stay where they are, which takes ONNX Runtime least."""
        binding = self.session.io_binding()
        for name, array in {"x": frame, **self.states}.items():
            binding.bind_ortvalue_input(name, self.values.ortvalue_from_numpy(array))
        for each in self.session.get_outputs():
            room = self.values.ortvalue_from_numpy(np.zeros(each.shape, np.float32))
            binding.bind_ortvalue_output(each.name, room)
        return {"step": (lambda: self.session.run_with_iobinding(binding), 1)}


class Runtime:
    """A file in `ksr_runtime`."""

    package = "numpy"

    def __init__(self, file, threads):
        import ksr_runtime

        self.model = ksr_runtime.Model(file)
        self.stream = self.model.stream()

    def __call__(self, frame):
        return self.stream(frame)

    def ways(self, frame):
        """Also many frames in a call, and the frames of several streams."""
        many, together = np.repeat(frame, MANY, axis=1), np.repeat(frame, TOGETHER, axis=0)
        streams = [self.model.stream() for _ in range(TOGETHER)]
        return {
            "step": (lambda: self.stream(frame), 1),
            "step_of_many": (lambda: self.stream(many), MANY),
            "step_of_streams": (lambda: self.model.step(streams, together), TOGETHER),
        }


KINDS = {"litert": LiteRT, "onnx": Onnx, "ksr": Runtime}


def microseconds(act, steps, seconds):
    """Of a step, where `act` does so many: the best of short stretches, so that it matters little
    what else the machine does.
    """
    begin = time.perf_counter()
    act()
    once = max(1, min(8, int(STRETCH / (time.perf_counter() - begin))))  # between looks at a clock
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        calls, since = 0, time.perf_counter()
        while time.perf_counter() - since < STRETCH:
            for _ in range(once):
                act()
            calls += once
        best = min(best, (time.perf_counter() - since) / calls)
    return 1e6 * best / steps


def first_output(opened, frame):
    """Milliseconds from the file to it, and what was opened."""
    begin = time.perf_counter()
    runs = opened()
    runs(frame)
    return 1e3 * (time.perf_counter() - begin), runs


def main(kind, file, threads, frames, outputs, seconds, *delegate):
    frames = np.fromfile(frames, np.float32).reshape(FRAMES, 1, 1, -1)

    def opened(file=file):
        return KINDS[kind](file, int(threads), *delegate)

    __import__(
        {"litert": "ai_edge_litert.interpreter", "onnx": "onnxruntime"}.get(kind, "ksr_runtime")
    )
    if REFERENCES.exists():
        REFERENCES.write_text("5")  # the peak starts from here
    before = resident("VmRSS")
    runs = opened()
    results = [runs(frame) for frame in frames]
    ways = runs.ways(frames[0])
    for _ in range(WARM):
        ways["step"][0]()
    peak = resident("VmHWM") - before
    np.concatenate([each.ravel() for each in results]).tofile(outputs)
    version = importlib.metadata.version(KINDS[kind].package)
    print(json.dumps({"peak_bytes": peak, KINDS[kind].package: version}), flush=True)
    starts = {"load": file}
    if kind == "ksr":
        starts["load_prepared"] = f"{outputs}.prepared"
        runs.model.save(starts["load_prepared"])
    for _ in sys.stdin:
        found = {
            name: microseconds(act, steps, float(seconds)) for name, (act, steps) in ways.items()
        }
        for name, path in starts.items():
            found[name], again = first_output(lambda: opened(path), frames[0])
            del again
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
