"""Finds and loads the native library, once, when it is first needed."""

import functools
import pathlib

import tensorflow as tf

LIBRARY = pathlib.Path(__file__).with_name("_native.so")


@functools.lru_cache(maxsize=None)
def library():
    """The module of native ops that `tf.load_op_library` makes, or None where the library was not built."""
    return tf.load_op_library(str(LIBRARY)) if LIBRARY.exists() else None


def native_available():
    """Whether the native ops can be used. Loads the library on first use."""
    return library() is not None
