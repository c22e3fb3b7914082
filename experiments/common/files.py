"""Files that are whole or not there: results, and finished models with their records, so that a run
that was stopped goes on where it was.
"""

import contextlib
import json
import os
import pathlib
import tempfile


@contextlib.contextmanager
def whole(path):
    """The path of a draft of the same name, which takes the place of `path` when it is written:
    `with whole(path) as draft: ...`.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        yield draft
        os.replace(draft, path)


def write_json(path, values):
    """Writes a file of JSON, whole."""
    with whole(path) as draft:
        draft.write_text(json.dumps(values, indent=1))


def figures_of(path, asked):
    """The figures that `keep_figures` has written to `path`, a dict, if they are those of what is
    `asked` now, as JSON takes it; else `None`.
    """
    if not path.exists():
        return None
    known = json.loads(path.read_text())
    return known if known.pop("asked", None) == json.loads(json.dumps(asked)) else None


def keep_figures(path, asked, known):
    """Writes figures, a dict, and everything that they depend on."""
    write_json(path, {"asked": asked, **known})


def known_rows(path, what, described):
    """The rows of an earlier run's file of results, a dict, for `--known`; none if `path` is
    `None`.

    Args:
        path: of the file, or `None`.
        what: `"text"` or `"speech"`: what was learnt, as the file has it.
        described: what is learnt now.

    Raises:
        ValueError: it is of something else.
    """
    if path is None:
        return {}
    known = json.loads(path.read_text())
    if known[what] != described:
        raise ValueError(
            f"`--known` must be of the {what} that is learnt, {described}. Received: {path}, of "
            f"{known[what]}"
        )
    return known["rows"]


def record_of(path, asked):
    """What is recorded of the finished model at `path`, a dict, if it was made as is `asked` now;
    else `None`.

    Args:
        path: of the model.
        asked: everything that the model depends on, as JSON takes it.
    """
    return figures_of(_record(path), asked) if path.exists() else None


def keep(path, save, asked, known):
    """Writes a finished model and its record.

    Args:
        path: of the model.
        save: function of a path, which writes it there.
        asked: as in `record_of`.
        known: what is recorded, a dict as JSON takes it.
    """
    with whole(_record(path)) as record, whole(path) as model:  # the record last
        save(model)
        record.write_text(json.dumps({"asked": asked, **known}))


def _record(path):
    return path.with_name(path.name.removesuffix(".keras").removesuffix(".weights.h5") + ".json")
