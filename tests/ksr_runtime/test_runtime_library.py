"""Which native library `ksr_runtime` takes, in processes of their own: numpy and the code of a
source tree are all that is there."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import ksr_runtime
from ksr_runtime import library

ROOT = pathlib.Path(ksr_runtime.__file__).parents[1]
SCRIPT = """
import importlib.metadata, sys
found = importlib.metadata.distributions
importlib.metadata.distributions = lambda **named: [
    one for one in found(**named) if str(one.locate_file("")).startswith(sys.argv[1])
]
from ksr_runtime import library
print(library.library()._name)
"""
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="it was installed, and is in no source tree"
)


@pytest.fixture
def tree(tmp_path):
    """A source tree with the C++ sources and this code, in which nothing was built."""
    folder = tmp_path / "tree"
    no_libraries = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "ksr_runtime", folder / "ksr_runtime", ignore=no_libraries)
    shutil.copytree(ROOT / "keras_sparse_rnn" / "native", folder / "keras_sparse_rnn" / "native")
    for name in ("setup.py", "setup.cfg"):
        shutil.copy(ROOT / name, folder)
    return folder


def taken(tree, site):
    """The library that the code of the tree takes, or what it says instead. `site`: a folder of
    installed packages.
    """
    path = [str(tree), str(site), str(pathlib.Path(np.__file__).parents[1])]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(site)],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    return ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]


def install(site):
    """What an installation of the tree's version leaves."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    version = config["metadata"]["version"]
    (site / "ksr_runtime").mkdir(parents=True)
    shutil.copy(ROOT / "ksr_runtime" / "_ksr.so", site / "ksr_runtime")
    info = site / f"keras_sparse_rnn-{version}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Name: keras_sparse_rnn\nVersion: {version}\n")
    info.joinpath("RECORD").write_text("ksr_runtime/_ksr.so,,\n")
    return site / "ksr_runtime" / "_ksr.so"


def test_the_numbers_of_what_went_wrong_are_those_of_the_header():
    header = (ROOT / "keras_sparse_rnn" / "native" / "core" / "ksr.h").read_text()
    body = re.search(r"typedef enum ksr_status \{(.*?)\} ksr_status;", header, re.DOTALL)[1]
    names = re.findall(r"^  KSR_(\w+)", body, re.MULTILINE)
    for name in ("BAD_VALUE", "NO_PROCESSOR", "NO_MEMORY"):
        assert names.index(name) == getattr(library, name)


def test_a_source_tree_takes_the_library_of_the_installed_package(tree, tmp_path):
    """It is as good if it was built from the same sources."""
    site = tmp_path / "site"
    site.mkdir()
    assert taken(tree, site) == (
        "OSError: ksr_runtime has no native library: Python has taken ksr_runtime from the source "
        f"tree {tree}, where it was not built. Run `python setup.py build_ext --inplace` or `pip "
        "install -e .` there, with a C++17 compiler, or start Python in another folder to take an "
        "installed package"
    )
    installed = install(site)
    assert taken(tree, site) == str(installed)
    with open(tree / "keras_sparse_rnn" / "native" / "core" / "model" / "stream.cc", "a") as file:
        file.write("// another one\n")
    assert taken(tree, site) == (
        "OSError: ksr_runtime has no native library: Python has taken ksr_runtime from the source "
        f"tree {tree}, where it was not built, and the library of the installed package, of the "
        "same version, was built from other C++ sources. Run `python setup.py build_ext "
        "--inplace` there, or install the package from it again, with a C++17 compiler"
    )


def test_a_library_of_other_sources_than_those_of_its_tree_is_refused(tree, tmp_path):
    """It was built before they changed."""
    site, own = tmp_path / "site", tree / "ksr_runtime" / "_ksr.so"
    site.mkdir()
    shutil.copy(ROOT / "ksr_runtime" / "_ksr.so", own)
    assert taken(tree, site) == str(own)
    with open(tree / "keras_sparse_rnn" / "native" / "core" / "model" / "layout.h", "a") as file:
        file.write("// another one\n")
    assert taken(tree, site) == (
        f"OSError: {own} is no library for this ksr_runtime: it was built from other C++ sources "
        f"than those of the source tree {tree}. Run `python setup.py build_ext --inplace` there, "
        "with a C++17 compiler"
    )
