"""Builds the native libraries next to the Python packages; everything else about them stands in
setup.cfg.

The libraries are plain C++17 with no Python and no TensorFlow header, so one build serves every
Python 3 and TensorFlow 2.16 and later. Without a compiler the installation goes through;
keras_sparse_rnn then runs on plain TensorFlow, and ksr_runtime says what it lacks.

For development, `python setup.py build_ext --inplace` puts the libraries into the source tree."""

import os
import pathlib
import platform
import re
import runpy
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except (
    ImportError
):  # before setuptools 70.1 it is in the wheel package, which pip brings when it builds a wheel
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:
        bdist_wheel = None

NATIVE = pathlib.Path("keras_sparse_rnn", "native")
PREPARED = NATIVE / "core" / "prepared"  # the library behind ksr.h
MODEL = NATIVE / "core" / "model"  # the one behind ksr_model.h, which stands on it
LITERT = NATIVE / "litert"  # the operator for LiteRT, which stands on that of ksr.h alone
LIBRARIES = {
    "keras_sparse_rnn.ops._native": (NATIVE / "core", PREPARED, NATIVE / "tensorflow"),
    "keras_sparse_rnn.export._ksr_delegate": (PREPARED, LITERT),
    "ksr_runtime._ksr": (PREPARED, MODEL),
}
# Read before anything is compiled: its code says by what hash a source tree knows a library.
STAMP = runpy.run_path(str(pathlib.Path("ksr_runtime", "stamp.py")))
SOURCES_HASH = STAMP["hash_of_sources"](NATIVE)
FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-pthread",
    "-ffp-contract=fast",
    "-Wno-psabi",
    "-DNDEBUG",
    f'-DKSR_SOURCES="{SOURCES_HASH}"',
]
# Each instruction set's kernels are compiled with its flags, whatever machine this is: which of
# them run is decided when they run.
INSTRUCTION_SETS = re.findall(
    r'^KSR_INSTRUCTION_SET\((\w+), (\w+), "(.*?)"',
    (PREPARED / "instruction_sets.inc").read_text(),
    re.MULTILINE,
)
# The library behind ksr.h gives the same bits everywhere, and nothing of C++ leaves it.
PREPARED_FLAGS = ["-ffp-contract=off", "-fno-exceptions", "-fno-rtti", "-fno-math-errno"]


def instruction_sets():
    """Those for this machine's kind, name to flags, from the table that CMake and the dispatch read
    too.
    """
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return {
        name: flags.split() for name, kind, flags in INSTRUCTION_SETS if kind in ("any", machine)
    }


def files_of(folders, pattern):
    """The paths of the files in `folders` whose names are like `pattern`."""
    return sorted(str(path) for folder in folders for path in folder.glob(pattern))


def extension(name, folders):
    """The library `name` of the C++ sources in `folders`."""
    return Extension(name, files_of(folders, "*.cc"), depends=files_of(folders, "*.[hi]*"))


def find_compiler():
    """The command of a C++17 compiler, as a list: that of the environment variable CXX, or the
    first one found. None if there is none.
    """
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    for candidate in candidates:
        command = shlex.split(candidate)
        if not shutil.which(command[0]):
            continue
        test = subprocess.run(
            [*command, "-std=c++17", "-x", "c++", "-fsyntax-only", "-"],
            input="#include <optional>\nint main() { if (int n = 0; n) return n; }\n",
            text=True,
            capture_output=True,
        )
        if test.returncode == 0:
            return command
    return None


def knows(compiler, flags):
    """Whether the compiler takes these flags."""
    command = [*compiler, *flags, "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input="", text=True, capture_output=True).returncode == 0


def compilations(sources, compiler):
    """What is to be compiled: `(source, name of the object, flags)`. The kernels of prepared cells
    once for each instruction set whose flags the compiler knows.
    """
    sets = instruction_sets()
    for source in map(pathlib.Path, sources):
        name = f"{source.parent.name}_{source.stem}"
        if source.parent == LITERT:
            yield str(source), name, [*PREPARED_FLAGS, f"-I{NATIVE / 'core'}"]
        elif source.parent not in (PREPARED, MODEL):  # kernels_avx2.cc is for avx2
            yield str(source), name, sets.get(source.stem.removeprefix("kernels_"), [])
        elif source.name != "kernels.cc":
            yield str(source), name, PREPARED_FLAGS
        else:
            for cpu, flags in sets.items():
                if knows(compiler, flags):
                    own = [*PREPARED_FLAGS, *flags, f"-DKSR_NAME={cpu}"]
                    yield str(source), f"{name}_{cpu}", own


class BuildNative(build_ext):
    """Compiles the libraries with whatever C++17 compiler there is, and does without where there is
    none. What several are made of is compiled once.
    """

    def get_ext_filename(self, fullname):
        return (
            os.path.join(*fullname.split(".")) + ".so"
        )  # no Python version in the name: it holds no Python

    def build_extensions(self):
        self.compiler_command = find_compiler()
        self.compiled = set()  # objects
        if self.compiler_command is None:
            print(
                "keras_sparse_rnn: no C++17 compiler found, so the native library is not built and "
                "everything will run on plain TensorFlow, slower, and ksr_runtime will not run; "
                "install one (for example `apt install g++`) and install keras_sparse_rnn again."
            )
        super().build_extensions()

    def build_extension(self, ext):
        compiler = self.compiler_command
        target = pathlib.Path(self.get_ext_fullpath(ext.name))
        target.unlink(missing_ok=True)  # of an earlier build
        if compiler is None:
            return
        build = pathlib.Path(self.build_temp)
        build.mkdir(parents=True, exist_ok=True)

        def compile_one(job):
            source, name, flags = job
            result = build / f"{name}.o"
            if result not in self.compiled:  # for another library
                self.spawn([*compiler, *FLAGS, *flags, "-c", source, "-o", str(result)])
                self.compiled.add(result)
            return str(result)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, compilations(ext.sources, compiler)))
        target.parent.mkdir(parents=True, exist_ok=True)
        # TensorFlow's symbols stay open until the library is loaded into a process that has them.
        # Several libraries have functions of the same names: each calls its own.
        mac = platform.system() == "Darwin"
        options = ["-Wl,-undefined,dynamic_lookup"] if mac else ["-Wl,--as-needed,-Bsymbolic"]
        libraries = [] if mac else ["-ldl"]
        command = [*compiler, "-shared", "-pthread", *options, *objects, *libraries]
        self.spawn([*command, "-o", str(target)])

    def copy_extensions_to_source(self):
        # Only what was built: without a compiler there is nothing to copy.
        for ext in self.extensions:
            built = pathlib.Path(self.build_lib, self.get_ext_filename(ext.name))
            if built.exists():
                # Replaced in one move: processes that have the old library loaded go on with it.
                target = pathlib.Path(self.get_ext_filename(ext.name))
                shutil.copyfile(built, target.with_suffix(".new"))
                os.replace(target.with_suffix(".new"), target)


commands = {"build_ext": BuildNative}
if bdist_wheel is not None:

    class AnyPython(bdist_wheel):
        """Tags the wheel for this platform and any Python 3."""

        def get_tag(self):
            return ("py3", "none", super().get_tag()[2])

    commands["bdist_wheel"] = AnyPython


setup(
    ext_modules=[extension(name, folders) for name, folders in LIBRARIES.items()],
    cmdclass=commands,
)
