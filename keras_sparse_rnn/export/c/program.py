"""Builds the program of an exported folder where there is a compiler, and runs it."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

import numpy as np

LONGEST = 300  # seconds


def compiler():
    """The command of the C compiler, as a string: that of the environment variable `CC`, or the
    first one found. None if there is none.
    """
    for command in [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]:
        if not shutil.which((shlex.split(command) or [""])[0]):
            continue
        test = subprocess.run(
            [*shlex.split(command), "-std=c++17", "-x", "c++", "-fsyntax-only", "-"],
            input="int main() { if (int n = 0; n) return n; }\n",
            text=True,
            capture_output=True,
        )
        if test.returncode == 0:
            return command
    return None


class Program:
    """The program of `folder`, built in a temporary copy of it.

    Raises:
        ValueError: it does not compile, or not in time.
    """

    def __init__(self, folder, name, command):
        self._copy = tempfile.TemporaryDirectory()
        copy = pathlib.Path(self._copy.name, "program")
        self.path, self.command = copy / name, command
        try:
            shutil.copytree(folder, copy)
            self._build(copy)
        except BaseException:
            self.close()
            raise

    def _build(self, folder):
        command = self.command
        try:
            built = subprocess.run(
                ["sh", "build.sh"],
                cwd=folder,
                env={**os.environ, "CC": command},
                capture_output=True,
                text=True,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(
                f"the exported program must compile with {command!r} in {LONGEST} seconds; "
                "nothing was written. Received: a compiler that was still at work. Export with "
                "another one, or none, in the environment variable CC, and build the folder "
                "afterwards: CC=... sh build.sh"
            ) from error
        if built.returncode:
            lines = [line for line in built.stderr.splitlines() if "error" in line]
            raise ValueError(
                f"the exported program must compile with {command!r}; nothing was written. "
                f"Received: {(lines or built.stderr.splitlines() or ['no message'])[0]}"
            )

    @property
    def size(self):
        """The bytes of the program, with its weights."""
        return self.path.stat().st_size

    def run(self, inputs):
        """What the program prints, `[frames, numbers of all outputs]`, for inputs `[frames, width]`
        each.
        """
        frames = np.concatenate(inputs, axis=1)
        text = "\n".join(" ".join(f"{number:.9g}" for number in frame) for frame in frames)
        try:
            ran = subprocess.run(
                [self.path], input=text, text=True, capture_output=True, timeout=LONGEST
            )
        except OSError as error:
            raise ValueError(
                "the exported program must start on this machine, to be compared with Keras; "
                f"nothing was written. Received: a program of the compiler {self.command!r}, and "
                f"{error.strerror}. Export with a compiler for this machine, or none, in the "
                "environment variable CC, and build the folder for another one afterwards: "
                "CC=... sh build.sh"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ValueError(
                f"the exported program must compute {len(frames)} frames in {LONGEST} seconds, to "
                "be compared with Keras; nothing was written. Received: a program of the compiler "
                f"{self.command!r} that was still at work. Export with a compiler for this machine "
                "that optimizes, or none, in the environment variable CC"
            ) from error
        if ran.returncode:
            raise ValueError(f"the exported program must run. Received: {ran.stderr.strip()!r}")
        return np.array([line.split() for line in ran.stdout.splitlines()], np.float32)

    def close(self):
        """Removes it."""
        self._copy.cleanup()
