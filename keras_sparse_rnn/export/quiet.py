"""Keeps the converter and the runtime from writing their progress to the terminal."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import warnings

_one_at_a_time = threading.RLock()
LOGGERS = ("tensorflow", "absl")  # by which TensorFlow's own Python code talks


@contextlib.contextmanager
def quiet(replay=True):
    """Swallows what C++ writes to the standard output and error, Python's warnings, and what
    TensorFlow logs in this thread.

    The converter and the runtime write to the descriptors 1 and 2, which all threads share. What
    Python writes to `sys.stdout` and `sys.stderr`, in any thread, goes where it went, through
    copies of the two: in place, for a logger's handler keeps the stream that it was given.

    With `replay`, what a block wrote before it raised is written to the standard error after all.
    """
    with contextlib.ExitStack() as undo:
        undo.enter_context(_one_at_a_time)
        swallowed = undo.enter_context(tempfile.TemporaryFile())
        undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        undo.enter_context(_logged_into(swallowed))
        saved = []
        for number in (1, 2):
            with contextlib.suppress(OSError):  # closed, as in a program without a terminal
                copy = os.dup(number)
                undo.callback(os.close, copy)
                undo.enter_context(_python_writes_to(copy, number))
                undo.callback(os.dup2, copy, number)
                os.dup2(swallowed.fileno(), number)
                saved.append(copy)
        try:
            yield
        except BaseException:
            if replay and saved:
                swallowed.seek(0)
                os.write(saved[-1], swallowed.read())
            raise


@contextlib.contextmanager
def _logged_into(file):
    """While it lasts, what TensorFlow logs in this thread is written into `file`."""
    thread = threading.get_ident()

    def passes(record):
        if record.thread != thread:
            return True
        os.write(file.fileno(), f"{record.levelname}: {record.getMessage()}\n".encode())
        return False

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(passes)


@contextlib.contextmanager
def _python_writes_to(copy, number):
    """While it lasts, Python's own streams to the descriptor `number` write to `copy`."""
    streams = {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}
    found = {_file_of(stream) for stream in streams} - {None}
    files = [(file, file.name) for file in found if file.fileno() == number]

    def retarget(descriptor):
        for file, name in files:
            # What is still in its buffer goes to either: both are the same open file.
            file.__init__(descriptor, "wb", closefd=False)
            file.name = name

    retarget(copy)
    try:
        yield
    finally:
        retarget(number)


def _file_of(stream):
    """The unbuffered file under one of Python's streams, or None if there is no such thing."""
    buffer = getattr(stream, "buffer", None)
    file = getattr(buffer, "raw", buffer)
    return file if isinstance(file, io.FileIO) and not file.closed else None
