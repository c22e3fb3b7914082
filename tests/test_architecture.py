"""Rules of the code base, each with its reason."""

import ast
import importlib
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_sparse_rnn
import ksr_runtime

PACKAGE = pathlib.Path(keras_sparse_rnn.__file__).parent
CHECKOUT = pathlib.Path(__file__).parents[1]
LAYERS = [
    {"checks", "private_keras", "version"},
    {"multi_worker", "running"},
    {"patterns", "manifolds", "optimizers"},
    {"configs", "selectors", "slots", "gradients"},
    {"selection"},
    {"schedules"},
    {"regularizers", "ops"},
    {"constraints", "activations", "quantization"},
    {"layers"},
    {"substitution", "geometry"},
    {"units"},
    {"criteria"},
    {"pruning", "export", "reordering", "report", "plot"},
    {"callbacks"},
    {"recipes"},
    {"cli"},
]
PRIVATE = {
    name
    for example in (
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]),
        keras.layers.Lambda(abs),
        keras.optimizers.Adam(),
    )
    for name in (*dir(example), *dir(getattr(example, "_functional", None)))
    if name.startswith("_") and not name.startswith("__")
}
HEAVY = (
    "tensorflow_model_optimization",
    "tf_keras",
    "ai_edge_litert",
    "rich",
    "matplotlib",
    "networkx",
)


def modules():
    """`(part, path)` of each module inside a part of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part != "__init__":
            yield part, path


def imported_parts(path):
    """The parts of the package that a module imports, anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = node.module.split(".")
            if names[0] == "keras_sparse_rnn":
                yield from names[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("keras_sparse_rnn.")
            )


def test_imports_run_one_way():
    """A part can be understood, and tested, with what stands below it alone."""
    rank = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    wrong = []
    for part, path in modules():
        assert part in rank, f"{part} has no place in the order of imports"
        for other in imported_parts(path):
            if other != part and rank.get(other, -1) >= rank[part]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong


def test_the_runtime_imports_numpy_and_nothing_else():
    """It is there for machines without TensorFlow, and for a quick start."""
    allowed = {"ksr_runtime", "numpy", *sys.stdlib_module_names}
    for path in pathlib.Path(ksr_runtime.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed, path.name
            elif isinstance(node, ast.Import):
                assert {name.split(".")[0] for name in _names(node)} <= allowed, path.name


def test_heavy_packages_are_imported_when_they_are_used(tmp_path):
    """Importing the package costs a user of the layers nothing but the layers, beyond what Keras
    itself imports.
    """
    code = (
        "import sys, keras; known = set(sys.modules); import keras_sparse_rnn; "
        f"print(sorted(set({HEAVY!r}) & (set(sys.modules) - known)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.stdout.strip().endswith("[]")


EXAMPLES = sorted((CHECKOUT / "examples").glob("**/*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_stands_alone(path):
    """It is copied as it is: one file, short enough to be read to the end, or a folder, whose
    modules import each other by relative names.
    """
    neighbours = {"examples", "experiments", "benchmarks", *(other.stem for other in EXAMPLES)}
    imported, nodes = set(), list(ast.walk(ast.parse(path.read_text())))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and path.parent.name != "examples"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else _names(node)
            imported |= {name.split(".")[0] for name in names}
    assert not imported & neighbours
    if path.parent.name == "examples":
        assert len(path.read_text().splitlines()) < 150


def _names(node):
    return [alias.name for alias in node.names]


LONGEST = 300  # lines


def test_no_file_is_too_long():
    """A file that long holds two subjects."""
    files = [
        path
        for folder in (
            "keras_sparse_rnn",
            "ksr_runtime",
            "tests",
            "examples",
            "experiments",
            "benchmarks",
        )
        for path in (CHECKOUT / folder).rglob("*.*")
    ]
    long = {
        str(path.relative_to(CHECKOUT)): len(path.read_text().splitlines())
        for path in files
        if path.suffix in (".py", ".cc", ".h", ".inc")
    }
    assert not {name: lines for name, lines in long.items() if lines > LONGEST}


def test_what_keras_does_not_promise_is_used_in_one_module():
    """So that it is known what a new Keras may break. The remedy for several workers replaces
    functions of Keras, and says so.
    """
    found = {}
    for _, path in modules():
        if path.name not in ("private_keras.py", "remedy.py"):
            text = path.read_text()
            used = _names_of_others(ast.parse(text)) & PRIVATE
            if used or "keras.src" in text:
                found[path.name] = used or "keras.src"
    assert not found


def _names_of_others(tree):
    """Names of attributes, but those of `self`; those in `getattr` and the like, too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in ("self", "cls"):
            names.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("attr"):
            names |= {arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)}
    return names


def test_the_core_includes_no_framework():
    """`native/core` serves TensorFlow and LiteRT alike."""
    native = CHECKOUT / "keras_sparse_rnn" / "native"
    sources = [*(native / "core").glob("*.*"), *(native / "tests").glob("*.[hc]*")]
    included = [
        line
        for path in sources
        for line in path.read_text().splitlines()
        if line.startswith("#include")
    ]
    assert included
    assert not [
        line for line in included if "tensorflow" in line or "tflite" in line or "litert" in line
    ]


def test_the_glue_includes_no_header_of_tensorflow():
    """Building takes a compiler and nothing else."""
    glue = (CHECKOUT / "keras_sparse_rnn" / "native" / "tensorflow").glob("*.*")
    included = [
        line
        for path in glue
        for line in path.read_text().splitlines()
        if line.startswith("#include")
    ]
    assert included
    assert not [line for line in included if "tensorflow/" in line]


def test_the_operator_for_litert_stands_on_the_c_library_alone():
    """So that it is built for any runtime and machine without the headers of either."""
    folder = CHECKOUT / "keras_sparse_rnn" / "native" / "litert"
    own = {path.name for path in folder.glob("*.h")} | {"ksr.h", "../core/ksr.h"}
    included = [
        line.split('"')[1]
        for path in folder.glob("*.[hc]*")
        for line in path.read_text().splitlines()
        if line.startswith('#include "')
    ]
    assert included and set(included) <= own


def test_a_backend_other_than_tensorflow_is_refused_in_words(monkeypatch):
    """Nothing here runs on another backend, and half a package is worse than none."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ImportError) as error:
        importlib.reload(keras_sparse_rnn)
    assert str(error.value) == (
        "keras_sparse_rnn needs Keras on the TensorFlow backend: set the environment variable "
        "KERAS_BACKEND=tensorflow before keras is imported. Received: jax"
    )


@pytest.mark.parametrize(
    "name",
    [
        "activations",
        "callbacks",
        "constraints",
        "criteria",
        "export",
        "export_c",
        "export_litert",
        "geometry",
        "layers",
        "manifolds",
        "multi_worker",
        "ops",
        "optimizers",
        "patterns",
        "plot",
        "quantization",
        "regularizers",
        "remove_dead_units",
        "reorder_units",
        "report",
        "schedules",
        "substitute",
        "to_dense",
    ],
)
def test_public_names(name):
    """These names are a contract."""
    assert name in keras_sparse_rnn.__all__
    assert getattr(keras_sparse_rnn, name).__doc__


def test_no_two_files_of_the_tests_have_one_name():
    """They are imported by their names alone: the second would get the contents of the first."""
    names = [path.name for path in (CHECKOUT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert not {name for name in names if names.count(name) > 1}
