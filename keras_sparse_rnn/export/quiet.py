"""Keeps the converter and the runtime from writing their progress to the terminal."""

import contextlib
import os
import sys
import tempfile
import warnings


@contextlib.contextmanager
def quiet(replay=True):
    """Swallows what is written to the standard output and error, from C++ too, and Python's
    warnings.

    With `replay`, what a block wrote before it raised is written to the standard error after all.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = []
    for number in (1, 2):
        with contextlib.suppress(OSError):  # closed, as in a program without a terminal
            saved.append((number, os.dup(number)))
    with tempfile.TemporaryFile() as swallowed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = True
        try:
            for number, _ in saved:
                os.dup2(swallowed.fileno(), number)
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)
            if failed and replay and saved:
                swallowed.seek(0)
                os.write(2, swallowed.read())
