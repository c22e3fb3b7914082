"""Which machine, and which versions of everything, a result belongs to."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import re
import subprocess

CHECKOUT = pathlib.Path(__file__).parents[1]
PACKAGES = (
    "keras",
    "tensorflow",
    "torch",
    "onnxruntime",
    "onnx",
    "ai-edge-litert",
    "scipy",
    "numpy",
)


def describe(threads):
    """The machine and the run, as a dict."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "caches": caches(),
        "instruction_set": instruction_set(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "threads": threads,
    }


def processor():
    try:
        return re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def caches():
    """The caches that the first core sees, such as `{"L2": "1024K"}`."""
    found = {}
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = (
            (index / name).read_text().strip() for name in ("type", "level", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def instruction_set():
    """The widest one that the native kernels could use here, by what Linux says."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    return next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in text),
        platform.machine(),
    )


def busy_seconds():
    """How long all cores together have been busy since the machine started, for this machine's
    programs or for its host's; None where Linux does not say.
    """
    try:
        user, nice, system, _, _, *others = (
            pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
    except (OSError, ValueError):
        return None
    return sum(map(int, (user, nice, system, *others))) / os.sysconf("SC_CLK_TCK")


def resident(name):
    """The line `VmRSS` or `VmHWM` of this process's status, in bytes; Linux only."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", status)[1])


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit():
    """The commit of the checkout, with `-dirty` where sources of the package or of the benchmarks
    are changed; None outside git.
    """
    try:
        run = functools.partial(
            subprocess.run, cwd=CHECKOUT, check=True, capture_output=True, text=True
        )
        name = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = run(
            [
                "git",
                "status",
                "--porcelain",
                "--",
                "keras_sparse_rnn",
                "benchmarks/*.py",
                "benchmarks/*.cc",
            ]
        ).stdout.strip()
        return f"{name}-dirty" if changed else name
    except (OSError, subprocess.CalledProcessError):
        return None


@functools.cache
def fingerprint():
    """Changes whenever a result may: with the files of the installed package and with the versions
    of the peers.
    """
    folder = pathlib.Path(importlib.util.find_spec("keras_sparse_rnn").origin).parent
    digest = hashlib.sha256(repr([version(package) for package in PACKAGES]).encode())
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.so")]):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
