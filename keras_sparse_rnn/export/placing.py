"""Puts what an export writes in its place: whole, or not at all."""

import contextlib
import os
import tempfile


@contextlib.contextmanager
def placed(path):
    """Gives a path to make a file or a folder at. If the block does not raise, that is moved to
    `path`, in the place of the file or folder that was there.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=os.path.dirname(path)) as beside:
        new, old = (os.path.join(beside, name) for name in ("new", "old"))
        yield new
        if not os.path.isdir(new) or not os.path.exists(path):
            os.replace(new, path)
            return
        os.rename(path, old)  # a folder takes the place of none that has something in it
        try:
            os.rename(new, path)
        except BaseException:  # also that somebody has interrupted it
            os.rename(old, path)
            raise
