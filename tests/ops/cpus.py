"""Instruction sets: those a test is run on, and what becomes of a test where one is missing."""

import platform

import pytest

from keras_sparse_rnn import ops

# Those for which the library holds kernels when it is built for this kind of processor.
CPUS = {
    "x86_64": ("avx512", "avx2", "plain"),
    "amd64": ("avx512", "avx2", "plain"),
    "aarch64": ("neon", "plain"),
    "arm64": ("neon", "plain"),
}.get(platform.machine().lower(), ("plain",))


def missing(name):
    """Whether this processor lacks the instruction set."""
    if ops.loader.problem() is not None:
        return False  # then it is the library that is missing
    try:
        ops.set_cpu(name)
    except ValueError:
        return True
    ops.set_cpu(None)
    return False


def use(name):
    """Chooses the instruction set; skips the test where it cannot, for on another one it would say
    nothing.
    """
    if ops.loader.problem() is not None:
        pytest.skip(f"the native library was not built: {ops.loader.problem()}")
    if missing(name):
        pytest.skip(f"{name} is not on this machine")
    ops.set_cpu(name)
