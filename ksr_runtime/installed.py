"""Where a native library is if it is not beside its Python code, and whether it is a stale one.

In a source tree Python takes the code that lies there, also where the package is installed; but
`pip install .` builds the library into the installed package. That one is as good, if it is of the
same version and was built from the same C++ sources."""

import pathlib

from ksr_runtime import stamp

NAME = "keras_sparse_rnn"


def library(path):
    """The library of the installed package of the same version and sources, or None.

    Args:
        path: where it would be beside the Python code: no other place is looked for unless this is
            in a source tree.
    """
    root = source_tree(path)
    if root is None:
        return None
    found = [one for of, one in _installed(path) if of == _version(root)]
    sources = stamp.hash_of_sources(_native(root)) if found else None
    return next((one for one in found if stamp.hash_in(one) == sources), None)


def why_missing(path):
    """Why there is no library at `path`, and what to do."""
    root = source_tree(path)
    if root is None:
        return (
            "it was not built, for want of a C++17 compiler. Install one (for example `apt install "
            "g++`) and run `pip install --force-reinstall --no-deps` on keras_sparse_rnn again"
        )
    others = list(dict.fromkeys(of for of, _ in _installed(path)))
    if _version(root) in others:
        return (
            f"Python has taken {_place(path)[0]} from the source tree {root}, where it was not "
            "built, and the library of the installed package, of the same version, was built from "
            "other C++ sources. Run `python setup.py build_ext --inplace` there, or install the "
            "package from it again, with a C++17 compiler"
        )
    return (
        f"Python has taken {_place(path)[0]} from the source tree {root}, where it was not built. "
        "Run `python setup.py build_ext --inplace` or `pip install -e .` there, with a C++17 "
        "compiler, or start Python in another folder to take an installed package"
        + (
            f" (version {', '.join(others)} is installed, and the source tree is version "
            f"{_version(root)})"
            if others
            else ""
        )
    )


def stale(path):
    """What is wrong with the library at `path` of a source tree if it was built from other sources
    than those in the tree; else None.
    """
    root = source_tree(path)
    if root is None or stamp.hash_in(path) == stamp.hash_of_sources(_native(root)):
        return None
    return (
        f"it was built from other C++ sources than those of the source tree {root}. Run `python "
        "setup.py build_ext --inplace` there, with a C++17 compiler"
    )


def source_tree(path):
    """The source tree that has the Python code beside which `path` is, or None."""
    root = _root(path)
    return root if (root / "setup.py").is_file() and (root / "setup.cfg").is_file() else None


def _root(path):
    """The folder that has the package beside whose code `path` is."""
    root = pathlib.Path(path).absolute().parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def _place(path):
    """Where a library lies from the folder of packages on, as parts of a path."""
    return pathlib.Path(path).absolute().relative_to(_root(path)).parts


def _version(root):
    """That of a source tree."""
    import configparser  # these two only where they are needed: they take half of what NumPy takes

    checkout = configparser.ConfigParser()
    checkout.read(root / "setup.cfg", encoding="utf-8")
    return checkout.get("metadata", "version", fallback=None)


def _native(root):
    """The folder of the C++ sources of a source tree."""
    return root / NAME / "native"


def _installed(path):
    """`(version, path of the library)` of the installed packages that have one, elsewhere."""
    import importlib.metadata

    place = _place(path)
    for distribution in importlib.metadata.distributions(name=NAME):
        for file in distribution.files or ():
            if file.parts[-len(place) :] == place:
                found = pathlib.Path(file.locate())
                if found.is_file() and found.absolute() != pathlib.Path(path).absolute():
                    yield distribution.version, found
