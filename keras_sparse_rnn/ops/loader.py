"""Finds and loads the native library, once, when it is first needed, and sets how it runs."""

import ctypes
import functools
import pathlib
import warnings

import tensorflow as tf

LIBRARY = pathlib.Path(__file__).with_name("_native.so")
CPUS = ("avx512", "avx2", "neon", "plain")


@functools.cache
def problem():
    """Why the native library cannot be used, in words, or None if it is loaded."""
    if not LIBRARY.exists():
        return (
            "it was not built, for want of a C++17 compiler. Install one (for example `apt install "
            "g++`) and run `pip install --force-reinstall --no-deps` on keras_sparse_rnn again (in "
            "a source tree: `python setup.py build_ext --inplace`)"
        )
    try:
        library()
    except (tf.errors.OpError, OSError) as error:
        return (
            f"it does not load ({error}). Use TensorFlow 2.16 or later and install "
            "keras_sparse_rnn again"
        )
    return None


@functools.cache
def _warn_once():
    warnings.warn(
        f"The native library of keras_sparse_rnn is missing: {problem()}. Until then everything "
        "runs on plain TensorFlow, with the same results, slower.",
        RuntimeWarning,
        stacklevel=3,
    )


def native_available():
    """Whether the native ops can be used. Loads the library on first use; warns once, with what to
    do, if there is none.
    """
    if problem():
        _warn_once()
    return not problem()


@functools.cache
def library():
    """The module of native ops. Only where `native_available()`."""
    try:
        return tf.load_op_library(str(LIBRARY))
    except tf.errors.NotFoundError:
        # Our library takes the symbols of TensorFlow's C API from the process. Newer TensorFlows
        # show them to all libraries, older ones (2.16) only when asked to.
        framework = sorted(pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_framework.*"))
        if not framework:
            raise
        ctypes.CDLL(str(framework[0]), mode=ctypes.RTLD_GLOBAL)
        return tf.load_op_library(str(LIBRARY))


def num_threads():
    """How many threads a native op uses at most: see `set_num_threads`."""
    return _controls().keras_sparse_rnn_num_threads()


def set_num_threads(threads):
    """Sets how many threads a native op uses at most.

    The default is the environment variable `KERAS_SPARSE_RNN_THREADS`, else as many cores as this
    process may use. Results do not depend on it.

    Args:
        threads: 1 to 256, or None for the default.
    """
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= 256):
        raise ValueError(
            f"`threads` must be an integer from 1 to 256, or None. Received: threads={threads!r}"
        )
    _controls().keras_sparse_rnn_set_num_threads(threads or 0)


def cpu():
    """The instruction set that the native ops use: `"avx512"`, `"avx2"`, `"neon"` or `"plain"`."""
    return _controls().keras_sparse_rnn_cpu().decode()


def set_cpu(name):
    """Chooses the instruction set, as the environment variable `KERAS_SPARSE_RNN_CPU` does; None
    for the best that the processor has.

    Raises:
        ValueError: the processor does not have it.
    """
    if name is not None and name not in CPUS:
        raise ValueError(
            f"`name` must be one of {', '.join(map(repr, CPUS))}, or None. Received: name={name!r}"
        )
    if not _controls().keras_sparse_rnn_choose_cpu((name or "").encode()):
        raise ValueError(
            f"`name` must be an instruction set that this processor has. Received: name={name!r}"
        )


@functools.cache
def _controls():
    if problem():
        raise RuntimeError(f"The native library of keras_sparse_rnn is missing: {problem()}.")
    controls = ctypes.CDLL(str(LIBRARY))
    controls.keras_sparse_rnn_cpu.restype = ctypes.c_char_p
    controls.keras_sparse_rnn_choose_cpu.argtypes = [ctypes.c_char_p]
    return controls
