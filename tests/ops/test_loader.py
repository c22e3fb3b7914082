"""Finding the native library, doing without it, and the declarations by which it was built."""

import os
import pathlib
import re
import subprocess
import sys
import warnings

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


def test_nothing_is_loaded_by_importing(tmp_path):
    """The library is loaded when it is first needed, not by `import keras_sparse_rnn`."""
    script = (
        "import keras_sparse_rnn.ops; assert '_native.so' not in open('/proc/self/maps').read()"
    )
    if pathlib.Path("/proc/self/maps").exists():
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            timeout=120,
        )


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
