"""Finds and loads the native library, once, and sets how it runs."""

import ctypes
import functools
import os
import pathlib
import re
import warnings

import tensorflow as tf

from ksr_runtime import installed

LIBRARY = pathlib.Path(__file__).with_name("_native.so")
CPUS = ("avx512", "avx2", "neon", "plain")
THREADS = "KERAS_SPARSE_RNN_THREADS"
MOST_THREADS = 256


def _path():
    """Where the library is: beside this module or, for a source tree in which it was not built, in
    the installed package of the same version. A path that does not exist if it is nowhere.
    """
    return LIBRARY if LIBRARY.exists() else installed.library(LIBRARY) or LIBRARY


@functools.cache
def problem():
    """Why the native library cannot be used, in words, or None if it is loaded."""
    if not _path().exists():
        return installed.why_missing(LIBRARY)
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
    """Whether the native ops can be used; warns once, with what to do, if there is no library.

    Raises:
        ValueError: the environment variable `KERAS_SPARSE_RNN_THREADS` is not a number of threads.
    """
    _check_variable()
    if problem():
        _warn_once()
    return not problem()


def register():
    """Makes the native ops and their gradients known to TensorFlow, if there is a library, and says
    nothing if there is none: graphs that were saved with these ops can be loaded from then on.
    """
    if problem() is None:
        from keras_sparse_rnn.ops import native  # noqa: F401  registers the gradients


@functools.cache
def library():
    """The module of native ops. Only where `native_available()`."""
    try:
        return tf.load_op_library(str(_path()))
    except tf.errors.NotFoundError:
        # Our library takes the symbols of TensorFlow's C API from the process. Newer TensorFlows
        # show them to all libraries, older ones (2.16) only when asked to.
        framework = sorted(pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_framework.*"))
        if not framework:
            raise
        ctypes.CDLL(str(framework[0]), mode=ctypes.RTLD_GLOBAL)
        return tf.load_op_library(str(_path()))


def num_threads():
    """How many threads a native op uses at most: see `set_num_threads`."""
    _check_variable()
    return _controls().keras_sparse_rnn_num_threads()


def set_num_threads(threads):
    """Sets how many threads a native op uses at most.

    The default is the environment variable `KERAS_SPARSE_RNN_THREADS`, else as many cores as this
    process may use. Results do not depend on it.

    Args:
        threads: 1 to 256, or None for the default.
    """
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MOST_THREADS):
        raise ValueError(
            f"`threads` must be an integer from 1 to {MOST_THREADS}, or None. Received: "
            f"threads={threads!r}"
        )
    _controls().keras_sparse_rnn_set_num_threads(threads or 0)


def _check_variable():
    """The library, which reads it, has no way to say what is wrong with it."""
    text = os.environ.get(THREADS, "")
    if text and not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= MOST_THREADS):
        raise ValueError(
            f"The environment variable {THREADS} must be an integer from 1 to {MOST_THREADS}, or "
            f"not be set. Received: {THREADS}={text}"
        )


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
    controls = ctypes.CDLL(str(_path()))
    controls.keras_sparse_rnn_cpu.restype = ctypes.c_char_p
    controls.keras_sparse_rnn_choose_cpu.argtypes = [ctypes.c_char_p]
    return controls
