"""Finding the native library, doing without it, and the declarations by which it was built."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from problems import Problem

from keras_sparse_rnn import ops

NATIVE = pathlib.Path(__file__).parents[2] / "keras_sparse_rnn" / "native"


@pytest.fixture
def nothing_loaded():
    """Forgets what is loaded, before and after a test."""

    def forget():
        for function in (ops.loader.problem, ops.loader._warn_once, ops.loader._controls):
            function.cache_clear()

    forget()
    yield
    forget()


def test_without_the_library(monkeypatch, tmp_path, nothing_loaded):
    """One warning that says what to do, then the reference; native says the same as an error."""
    monkeypatch.setattr(ops.loader, "LIBRARY", tmp_path / "_native.so")
    words = (
        r"^The native library of keras_sparse_rnn is missing: it was not built, "
        r"for want of a C\+\+17 compiler\. Install one .* slower\.$"
    )
    with pytest.warns(RuntimeWarning, match=words):
        assert not ops.native_available()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not ops.native_available()
        problem = Problem("lstm")
        assert (problem.run("auto")[0][0] == problem.run("reference")[0][0]).all()
    with pytest.raises(
        ValueError,
        match="cannot be had: the native library is missing: it was not built, for want of",
    ):
        problem.run("native")
    with pytest.raises(RuntimeError, match="is missing: it was not built"):
        ops.set_num_threads(2)


def test_with_a_broken_library(monkeypatch, tmp_path, nothing_loaded):
    broken = tmp_path / "_native.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(ops.loader, "LIBRARY", broken)
    monkeypatch.setattr(ops.loader, "library", ops.loader.library.__wrapped__)
    with pytest.warns(
        RuntimeWarning,
        match="is missing: it does not load .*_native.so.* Use TensorFlow 2.16 or later",
    ):
        assert not ops.native_available()


def run(script, folder, *arguments, **environment):
    """Runs Python code in a second process that starts in `folder`."""
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")
def test_a_saved_graph_needs_no_more_than_the_import(tmp_path):
    """Its ops and their gradients are known then."""
    problem = Problem("gru", training=True)
    module = tf.Module()
    module.weights = [tf.Variable(array, dtype=tf.float32) for array in problem.arrays.values()]

    @tf.function(input_signature=[])
    def gradient():
        with tf.GradientTape() as tape:
            outputs, _ = problem.call(module.weights, "native")
        return tape.gradient(outputs, module.weights[0]), outputs

    module.outputs = tf.function(
        lambda: problem.call(module.weights, "native")[0], input_signature=[]
    )
    module.gradient = gradient
    tf.saved_model.save(module, tmp_path / "saved")
    np.save(tmp_path / "expected.npy", module.gradient()[0])
    script = (
        "import keras_sparse_rnn, numpy as np, tensorflow as tf\n"
        "loaded = tf.saved_model.load('saved')\n"
        "assert (loaded.gradient()[0].numpy() == np.load('expected.npy')).all()\n"
        "with tf.GradientTape() as tape: outputs = loaded.outputs()\n"
        "assert tape.gradient(outputs, loaded.weights[0]) is not None\n"
    )
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A source tree in which nothing was built."""
    folder = tmp_path_factory.mktemp("tree")
    package = NATIVE.parent
    for name in ("setup.py", "setup.cfg"):
        shutil.copy(package.parent / name, folder)
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(package, folder / "keras_sparse_rnn", ignore=ignore)
    return folder


def install(folder, version):
    """What an installation of the package leaves: its library and its metadata."""
    (folder / "keras_sparse_rnn" / "ops").mkdir(parents=True)
    library = ops.loader._path()
    if library.exists():
        shutil.copy(library, folder / "keras_sparse_rnn" / "ops" / "_native.so")
    info = folder / f"keras_sparse_rnn-{version}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Name: keras_sparse_rnn\nVersion: {version}\n")
    info.joinpath("RECORD").write_text("keras_sparse_rnn/ops/_native.so,,\n")


# The package that this suite may have been installed with counts as not there.
PROBLEM = """
import importlib.metadata, sys
found = importlib.metadata.distributions
importlib.metadata.distributions = lambda **named: [
    one for one in found(**named) if str(one.locate_file("")).startswith(sys.argv[1])
]
from keras_sparse_rnn import ops
print(ops.loader.problem(), ops.loader._path())
"""
needs_sources = pytest.mark.skipif(
    not NATIVE.parent.with_name("setup.py").exists(), reason="not in a source tree"
)


def in_tree(tree, site=None):
    """What is wrong, and which library is taken, by Python code of the source tree where the
    package is installed in the folder `site`.
    """
    path = [str(site or tree), *(one for one in sys.path if one)]
    done = run(PROBLEM, tree, str(site or tree), PYTHONPATH=os.pathsep.join(path))
    assert done.returncode == 0, done.stderr
    problem, path = done.stdout.strip().rsplit(" ", 1)
    return problem, path


@needs_sources
def test_a_source_tree_without_a_library_says_so(tree):
    """Importing it is silent, and does not fail."""
    assert in_tree(tree)[0] == (
        f"Python has taken keras_sparse_rnn from the source tree {tree}, where it was not built. "
        "Run `python setup.py build_ext --inplace` or `pip install -e .` there, with a C++17 "
        "compiler, or start Python in another folder to take an installed package"
    )


@pytest.mark.slow
@needs_sources
@pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")
def test_a_source_tree_takes_the_library_of_the_installed_package(tree, tmp_path):
    config = configparser.ConfigParser()
    config.read(tree / "setup.cfg")
    version = config["metadata"]["version"]
    install(tmp_path / "same", version)
    installed = tmp_path / "same" / "keras_sparse_rnn" / "ops" / "_native.so"
    assert in_tree(tree, tmp_path / "same") == ("None", str(installed))
    source = tree / "keras_sparse_rnn" / "native" / "core" / "cpu.cc"
    text = source.read_text()
    source.write_text(text + "// another one\n")
    assert in_tree(tree, tmp_path / "same")[0] == (
        f"Python has taken keras_sparse_rnn from the source tree {tree}, where it was not built, "
        "and the library of the installed package, of the same version, was built from other C++ "
        "sources. Run `python setup.py build_ext --inplace` there, or install the package from it "
        "again, with a C++17 compiler"
    )
    source.write_text(text)
    assert in_tree(tree, tmp_path / "same") == ("None", str(installed))
    install(tmp_path / "other", "0.0.7")
    assert in_tree(tree, tmp_path / "other")[0].endswith(
        "to take an installed package (version 0.0.7 is installed, and the source tree is version "
        f"{version})"
    )


@pytest.mark.parametrize("text", ["abc", "0", "-3", "2.5", "257", "1_0", " 2", "9" * 30])
def test_a_variable_that_is_no_number_of_threads_is_refused(monkeypatch, text):
    monkeypatch.setenv("KERAS_SPARSE_RNN_THREADS", text)
    problem = Problem("lstm")
    calls = [ops.native_available]
    if ops.loader.problem() is None:
        calls += [ops.num_threads, lambda: problem.run("native"), lambda: problem.run("auto")]
    for call in calls:
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == (
            "The environment variable KERAS_SPARSE_RNN_THREADS must be an integer from 1 to 256, "
            f"or not be set. Received: KERAS_SPARSE_RNN_THREADS={text}"
        )
    problem.run("reference")


@pytest.mark.parametrize("text, expected", [("", None), ("3", 3), ("abc", None), ("-3", None)])
@pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")
def test_the_library_itself_takes_such_a_variable_as_not_set(monkeypatch, text, expected):
    """A graph may reach it past Python."""
    controls = ops.loader._controls()
    monkeypatch.delenv("KERAS_SPARSE_RNN_THREADS", raising=False)
    default = controls.keras_sparse_rnn_num_threads()
    monkeypatch.setenv("KERAS_SPARSE_RNN_THREADS", text)
    assert controls.keras_sparse_rnn_num_threads() == (expected or default)


def normalised(text):
    """C declarations without comments, attributes and white space that means nothing."""
    text = re.sub(
        r"//[^\n]*|/\*.*?\*/|TF_CAPI_EXPORT|\bextern\b(?! \"C\")|\bstruct\b", " ", text, flags=re.S
    )
    text = text.replace("TF_Bool", "unsigned char").replace("TSL_", "TF_")
    return re.sub(r"\s*([(),;*{}=])\s*", r"\1", re.sub(r"\s+", " ", text))


def test_our_declarations_are_those_of_tensorflow():
    """Every function as TensorFlow's headers declare it, every constant with its value."""
    include = pathlib.Path(tf.sysconfig.get_include())
    names = ["kernels", "ops", "tf_tensor", "tf_status", "tf_datatype"]
    headers = [include / "tensorflow" / "c" / f"{name}.h" for name in names]
    headers += [
        path for part in ("xla/tsl", "tsl") for path in include.rglob(f"{part}/c/tsl_status.h")
    ]
    theirs = normalised("\n".join(path.read_text() for path in headers))
    ours = normalised((NATIVE / "tensorflow" / "tf_c_api.h").read_text())
    functions = re.findall(r"[\w*]+[ *]+TF_\w+\([^)]*(?:\([^)]*\)[^)]*)*\);", ours)
    constants = re.findall(r"\b(TF_[A-Z]\w*=\d+)", ours)
    assert len(functions) > 30 and len(constants) == 8
    for function in functions:
        assert function.replace("(void)", "()") in theirs.replace("(void)", "()"), function
    for constant in constants:
        assert re.search(re.escape(constant) + r"\b", theirs), constant
