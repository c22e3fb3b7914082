"""Files that are whole or not there, so that a run that was stopped goes on where it was."""

import contextlib
import json
import os
import pathlib
import tempfile


@contextlib.contextmanager
def whole(path):
    """The path of a draft, which takes the place of `path` when it is written:
    `with whole(path) as draft: ...`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        yield draft
        os.replace(draft, path)


def write_json(path, values):
    """Writes a file of JSON, whole."""
    with whole(path) as draft:
        draft.write_text(json.dumps(values, indent=1) + "\n")
