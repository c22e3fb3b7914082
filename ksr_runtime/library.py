"""The native library behind `ksr_model.h`, and its errors as Python's."""

import ctypes
import functools
import pathlib

from ksr_runtime import installed

PATH = pathlib.Path(__file__).with_name("_ksr.so")
ALIGNMENT = 64
VERSION = 1  # of ksr.h
# Of ksr_status.
BAD_VALUE = 6
NO_PROCESSOR = 10
NO_MEMORY = 11

FLOATS = ctypes.c_void_p


class Error(ctypes.Structure):
    """`ksr_error`."""

    _fields_ = [("status", ctypes.c_int32), ("text", ctypes.c_char * 252)]


class Needs(ctypes.Structure):
    """`ksr_needs`."""

    _fields_ = [
        ("tiles", ctypes.c_uint32 * 4),
        ("cells", ctypes.c_uint32 * 2),
        ("activations", ctypes.c_uint32 * 2),
    ]


class Facts(ctypes.Structure):
    """`ksr_model_facts`."""

    _fields_ = [
        ("size", ctypes.c_int64),
        ("stream_size", ctypes.c_int64),
        ("inputs", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("notes", ctypes.c_void_p),
        ("notes_size", ctypes.c_int64),
        ("needs", Needs),
        ("processor", ctypes.c_char * 28),
    ]


class Port(ctypes.Structure):
    """`ksr_port`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("width", ctypes.c_int64),
        ("tokens", ctypes.c_int64),
        ("last", ctypes.c_int32),
    ]


def _path():
    """Where the library is: beside this module or, for a source tree in which it was not built, in
    the installed package of the same version and sources.
    """
    found = PATH if PATH.exists() else installed.library(PATH)
    if found is None:
        raise OSError(f"ksr_runtime has no native library: {installed.why_missing(PATH)}")
    if wrong := installed.stale(found):
        raise OSError(f"{found} is no library for this ksr_runtime: {wrong}")
    return found


@functools.cache
def library():
    """The library, loaded.

    Raises:
        OSError: it was not built, does not load, or was built from other sources than those that
            lie in the source tree.
    """
    path = _path()
    loaded = ctypes.CDLL(str(path))
    if loaded.ksr_version() != VERSION:
        raise OSError(
            f"{path} is of version {loaded.ksr_version()} of ksr.h, and ksr_runtime is for version "
            f"{VERSION}: install keras_sparse_rnn again"
        )
    size, pointer, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64
    text, error = ctypes.c_char_p, ctypes.POINTER(Error)
    signatures = {
        "ksr_status_text": [ctypes.c_int32],
        "ksr_model_size": [pointer, size, text, ctypes.POINTER(size), error],
        "ksr_model_prepare": [pointer, size, text, pointer, size, ctypes.POINTER(pointer), error],
        "ksr_model_open": [pointer, size, ctypes.POINTER(pointer), error],
        "ksr_model_describe": [pointer, ctypes.POINTER(Facts)],
        "ksr_model_input": [pointer, ctypes.c_int32, ctypes.POINTER(Port)],
        "ksr_model_output": [pointer, ctypes.c_int32, ctypes.POINTER(Port)],
        "ksr_stream_init": [pointer, pointer, size, ctypes.POINTER(pointer)],
        "ksr_stream_reset": [pointer, pointer],
        "ksr_streams_run": [pointer, pointer, number, pointer, number, pointer],
    }
    for name, arguments in signatures.items():
        getattr(loaded, name).argtypes = arguments
    loaded.ksr_status_text.restype = text
    return loaded


def status_text(status):
    """What a status code means, in words."""
    return library().ksr_status_text(status).decode()
