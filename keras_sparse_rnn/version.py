"""Which version of the package this is."""

import configparser
import importlib.metadata
import pathlib

NAME = "keras_sparse_rnn"


def version(folder=None):
    """The version in the `setup.cfg` beside the package, in a source checkout; else that of the
    installed package.

    The checkout goes first: another version may be installed beside it.

    Args:
        folder: the folder that the package is in; None for that of this package.
    """
    folder = pathlib.Path(__file__).parents[1] if folder is None else pathlib.Path(folder)
    checkout = configparser.ConfigParser()
    checkout.read(folder / "setup.cfg", encoding="utf-8")
    if checkout.get("metadata", "name", fallback=None) == NAME:
        return checkout["metadata"]["version"]
    return importlib.metadata.version(NAME)
