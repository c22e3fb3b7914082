"""Builds and runs the small programs that measure."""

import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent
CHECKOUT = FOLDER.parents[1]


class Programs:
    """The programs `names` of this folder, built by CMake.

    Args:
        names: Of "ours", "ops" and "rnnoise".
        rnnoise: The clone that "rnnoise" is built from.
        build: The folder that they are built in; build/steps by default.
    """

    def __init__(self, names, rnnoise=None, build=None):
        self.names = names
        self.build = pathlib.Path(build or CHECKOUT / "build" / "steps")
        if shutil.which("cmake") is None:
            raise SystemExit("benchmarks.steps needs CMake 3.16 or later, and a C++17 compiler")
        clone = pathlib.Path(rnnoise).resolve() if rnnoise else ""
        if clone and not (clone / "src" / "nnet.c").exists():
            raise SystemExit(f"--rnnoise {rnnoise}: no clone of xiph/rnnoise has no src/nnet.c")
        self._call("cmake", "-S", FOLDER, "-B", self.build, f"-DRNNOISE={clone}")
        self._call("cmake", "--build", self.build, "--parallel", "--target", *names)

    def run(self, name, arguments):
        """What a program prints, in words."""
        found = subprocess.run(
            [str(self.build / name), *map(str, arguments)], capture_output=True, text=True
        )
        if found.returncode:
            raise SystemExit(f"{name} {' '.join(map(str, arguments))}: {found.stderr.strip()}")
        return found.stdout.split()

    def _call(self, *command):
        done = subprocess.run(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            sys.exit(done.stdout)
