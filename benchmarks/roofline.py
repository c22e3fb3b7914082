"""What the machine can do at most, measured, and what that means for a case: its attainable time.

A sequence must read its recurrent weights once for each step, its other weights at least once, and
its input and output once; and it must make two operations for each live weight, sample and step. At
best the machine does both at once, each as fast as it was measured:

    attainable = max(bytes / bandwidth, operations / peak)

The bandwidth is that of reading memory of the size of the live recurrent weights over and over, so
that of the cache that they fit into."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np

from benchmarks.data import Data

SOURCE = pathlib.Path(__file__).with_name("roofline.cc")
SIZES = [1 << power for power in range(16, 29)]  # 64 KiB to 256 MiB
FLAGS = ["-O3", "-march=native", "-ffast-math", "-std=c++17", "-pthread"]
BYTES = {"": 4, "bfloat16": 2, "int8": 1}


def measure(threads, quick=False):
    """Measures the machine by a small C++ program, or, where there is no compiler, by NumPy.

    Returns:
        dict: `bandwidth`, for 1 thread and for `threads` a list of `[bytes, bytes per second]`;
            `flops`, a list of `[threads, operations per second]`; `by`.
    """
    seconds, sizes = (0.01, SIZES[::4]) if quick else (0.25, SIZES)
    with Program() as program:
        found = program.run(threads, seconds, *sizes)
    return {**found, "by": "roofline.cc"} if found else _by_numpy(threads, seconds, sizes)


class Program:
    """The small C++ program, compiled for this machine. A context manager."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="roofline-")
        self.path = None
        compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
        if compiler is not None:
            self.path = pathlib.Path(self.folder.name, "roofline")
            subprocess.run(
                [compiler, *FLAGS, str(SOURCE), "-o", str(self.path)],
                check=True,
                capture_output=True,
            )
        return self

    def __exit__(self, *error):
        self.folder.cleanup()

    def run(self, *arguments):
        """What it prints; None where there is no compiler."""
        if self.path is None:
            return None
        return json.loads(
            subprocess.run(
                [str(self.path), *map(str, arguments)], check=True, capture_output=True, text=True
            ).stdout
        )

    def round_trip(self):
        """Seconds that a line of memory takes from one processor to another and back; None if it
        cannot be told.
        """
        return self.run("round-trip")


def _by_numpy(threads, seconds, sizes):
    """A rough stand-in: NumPy's sums read on one thread, its product uses as many as its library
    wants.
    """

    def rate(function):
        function()
        calls, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            function()
            calls += 1
        return calls / (time.perf_counter() - start)

    curve = []
    for size in sizes:
        array = np.ones(size // 4, np.float32)
        curve.append([size, rate(array.max) * size])
    square = np.ones((512, 512), np.float32)
    peak = rate(lambda: square @ square) * 2 * 512**3
    return {
        "bandwidth": {"1": curve, str(threads): curve},
        "flops": [[threads, peak]],
        "by": "NumPy",
    }


def bandwidth(roofline, threads, size):
    """Bytes per second when memory of `size` is read again and again, between the measured sizes by
    their logarithms.
    """
    sizes, rates = zip(*roofline["bandwidth"][str(threads)])
    return float(np.interp(np.log(size), np.log(sizes), rates))


def attainable(roofline, threads, problem, case):
    """Seconds below which no float32 computation of a `forward` problem can get on this machine."""
    kernel, recurrent = Data(problem).live_weights(case.pattern)
    size = recurrent * BYTES[case.form]
    values = 4 * 2 * problem.batch * problem.steps * problem.units
    moved = problem.steps * size + kernel * BYTES[case.form] + values
    operations = 2 * problem.batch * problem.steps * (kernel + recurrent)
    return max(
        moved / bandwidth(roofline, threads, size),
        operations / dict(map(tuple, roofline["flops"]))[threads],
    )
