"""Building and installing: into a place of its own, from an sdist, and without a compiler."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a source tree")


def setup(*arguments, **environment):
    command = [sys.executable, "setup.py", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_without_a_compiler(tmp_path):
    """The build goes through, says in one sentence what that means, and leaves no library of an
    earlier build.
    """
    (tmp_path / "lib" / "keras_sparse_rnn" / "ops").mkdir(parents=True)
    (tmp_path / "lib" / "keras_sparse_rnn" / "ops" / "_native.so").write_bytes(b"old")
    result = setup(
        "build_ext",
        "--build-lib",
        tmp_path / "lib",
        "--build-temp",
        tmp_path / "temp",
        CXX="/nonexistent/c++",
    )
    assert result.returncode == 0, result.stderr
    assert (
        "keras_sparse_rnn: no C++17 compiler found, so the native library is not built"
        in result.stdout
    )
    assert not list(tmp_path.rglob("*.so"))


def test_sdist_has_all_sources(tmp_path):
    result = setup("egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path)
    assert result.returncode == 0, result.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    native = ROOT / "keras_sparse_rnn" / "native"
    sources = {
        str(path.relative_to(ROOT))
        for path in native.rglob("*")
        if path.suffix in (".cc", ".h", ".inc", ".txt")
    }
    assert len(sources) > 30 and sources <= packed
    assert "setup.py" in packed and not [name for name in packed if name.endswith(".so")]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", [True, False])
def test_pip_install(tmp_path, compiler):
    """From the sdist into a new environment that sees this one's TensorFlow, run outside the
    tree.
    """
    assert (
        setup("egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path).returncode == 0
    )
    environment = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", environment], check=True
    )
    python = environment / "bin" / "python"
    here = pathlib.Path(
        sys.prefix,
        "lib",
        f"python{sys.version_info.major}.{sys.version_info.minor}",
        "site-packages",
    )
    next((environment / "lib").glob("python*/site-packages")).joinpath("here.pth").write_text(
        str(here)
    )
    variables = {**os.environ, **({} if compiler else {"CXX": "/nonexistent/c++"})}
    variables.pop("PYTHONPATH", None)
    sdist = next(tmp_path.glob("*.tar.gz"))
    install = [python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", sdist]
    subprocess.run(install, check=True, cwd=tmp_path, env=variables, timeout=280)
    script = (
        "import warnings; warnings.simplefilter('ignore'); from keras_sparse_rnn import "
        "ops; print(ops.native_available(), ops.__file__); import ksr_runtime; "
        "print(ksr_runtime.library.PATH.exists()); from keras_sparse_rnn.export.c import folder; "
        "print((folder.CORE / 'model' / 'stream.cc').exists())"
    )
    result = subprocess.run(
        [python, "-c", script],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.split() == [
        str(compiler),
        str(next(environment.rglob("keras_sparse_rnn/ops/__init__.py"))),
        str(compiler),
        "True",
    ], result.stderr


@pytest.mark.slow
def test_an_editable_install_has_the_library(tmp_path):
    """Into an environment of its own, from a copy of the source tree: the library lies beside the
    code that Python takes.
    """
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for package in ("keras_sparse_rnn", "ksr_runtime"):
        shutil.copytree(ROOT / package, tree / package, ignore=ignore)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    others = tmp_path / "others"  # all that is installed here, but for this package
    others.mkdir()
    for path in pathlib.Path(sysconfig.get_path("purelib")).iterdir():
        if "keras_sparse_rnn" not in path.name:
            others.joinpath(path.name).symlink_to(path)
    next((environment / "lib").glob("python*/site-packages")).joinpath("others.pth").write_text(
        str(others)
    )
    python = environment / "bin" / "python"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-e", "."]
    subprocess.run(install, check=True, cwd=tree, env=variables, timeout=600)
    script = "from keras_sparse_rnn import ops; print(ops.native_available(), ops.__file__)"
    result = subprocess.run(
        [python, "-W", "error::RuntimeWarning", "-c", script],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    code = tree / "keras_sparse_rnn" / "ops" / "__init__.py"
    assert result.stdout.split() == ["True", str(code)], result.stderr
    assert code.with_name("_native.so").exists()
