"""The library of our operator for LiteRT: where it is, and the delegate that it makes.

It is the external delegate, and holds the library behind `ksr.h` beside that, which writes the
files of cells."""

import ctypes
import functools
import pathlib

from keras_sparse_rnn.export.quiet import quiet
from ksr_runtime import installed

LIBRARY = pathlib.Path(__file__).with_name("_ksr_delegate.so")


class LibraryError(ValueError):
    """The library cannot be had."""


def path():
    """Where the library is: beside this module or, for a source tree in which it was not built, in
    the installed package of the same version and sources.

    Raises:
        LibraryError: it is nowhere.
    """
    found = LIBRARY if LIBRARY.exists() else installed.library(LIBRARY)
    if found is None:
        raise LibraryError(
            "The library of the operators of runtime='ksr' is missing: "
            f"{installed.why_missing(LIBRARY)}. Files of runtime='builtin' do without it"
        )
    return found


@functools.cache
def _loaded(file):
    return ctypes.CDLL(str(file))


def loaded():
    """The library, to call the functions of `ksr.h`.

    Raises:
        LibraryError: there is none, or it does not load.
    """
    file = path()
    try:
        return _loaded(file)
    except OSError as error:
        raise LibraryError(
            f"The library of the operators of runtime='ksr' does not load: {error}. Install "
            "keras_sparse_rnn again"
        ) from error


def delegate():
    """A delegate for `ai_edge_litert`'s interpreter that runs our operators.

    Raises:
        LibraryError: there is no library.
        ValueError: the runtime does not take it.
    """
    from ai_edge_litert.interpreter import load_delegate

    loaded()
    with quiet():
        return load_delegate(str(path()))
