"""Every way in which a runtime gets our operator: it computes what Keras does, and says what is
wrong with a damaged file. `other_runtime.py` runs the same in any other version of the runtime.
"""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import own_files
import pytest
import tensorflow as tf
from other_runtime import CompiledModel

from keras_sparse_rnn import export
from keras_sparse_rnn.export import library, own_operators
from keras_sparse_rnn.export.quiet import quiet

pytestmark = [
    pytest.mark.skipif(not library.LIBRARY.exists(), reason="the library was not built"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
]
SCRIPT = pathlib.Path(__file__).with_name("other_runtime.py")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A file, an input and what Keras makes of it."""
    folder = tmp_path_factory.mktemp("front_doors")
    own_files.write(folder)
    arrays = np.load(folder / "own.npz")
    return folder / "own.tflite", arrays["x"], arrays["expected"]


def test_in_another_process_without_tensorflow(case):
    done = subprocess.run(
        [sys.executable, SCRIPT, case[0].parent],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert set(found) == {"Interpreter", "CompiledModel"}
    for said in found.values():
        difference, damaged = said.split(", damaged: ")
        assert float(difference) < 1e-5 and damaged.startswith("KsrCell: checksum is 0x")


def test_in_the_interpreter_of_tensorflow(case):
    path, x, expected = case
    with quiet():
        delegate = tf.lite.experimental.load_delegate(str(library.path()))
        interpreter = tf.lite.Interpreter(str(path), experimental_delegates=[delegate])
        (received,) = interpreter.get_signature_runner()(x=x).values()
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_a_stock_runtime_without_our_delegate_names_the_operator(case):
    from ai_edge_litert.interpreter import Interpreter

    with quiet(), pytest.raises(RuntimeError, match="unresolved custom op: KsrCell"):
        Interpreter(str(case[0])).allocate_tensors()


def test_a_delegate_has_no_options(case):
    from ai_edge_litert.interpreter import load_delegate

    with quiet(), pytest.raises(ValueError) as error:
        load_delegate(str(library.path()), {"threads": 2})
    assert str(error.value).splitlines()[-1] == "The delegate of keras_sparse_rnn has no options"


def damaged(path, tmp_path, place, value):
    """The file with another number of 4 bytes at `place` of its first cell."""
    content = bytearray(path.read_bytes())
    begin = content.index(b"ksr-file")
    content[begin + place : begin + place + 4] = np.int32(value).tobytes()
    wrong = tmp_path / "damaged.tflite"
    wrong.write_bytes(content)
    return wrong


DAMAGES = [
    (0, 7, 'it must begin with "ksr-file"'),
    (12, 2, "the file is of version 2: this library reads version 1"),
    (24, 64, "size is 64: it must be a multiple of 64, and 320 or more"),
    (400, 1, "checksum is "),
]


@pytest.mark.parametrize("place, value, words", DAMAGES)
def test_a_damaged_cell_is_refused_by_the_delegate(case, tmp_path, place, value, words):
    from ai_edge_litert.interpreter import Interpreter

    wrong = damaged(case[0], tmp_path, place, value)
    with quiet(replay=False), pytest.raises(RuntimeError) as error:
        Interpreter(str(wrong), experimental_delegates=[library.delegate()]).allocate_tensors()
    text = str(error.value)
    assert "KsrCell: " in text and words in text


@pytest.mark.parametrize("place, value, words", DAMAGES)
def test_of_a_damaged_cell_a_compiled_model_makes_nan_and_says_why(
    case, tmp_path, place, value, words
):
    """The runtime does not hand on that an operator failed."""
    wrong = damaged(case[0], tmp_path, place, value)
    with quiet(replay=False):
        model = CompiledModel(str(library.path()), str(wrong))
        received = model(case[1], np.zeros_like(case[2]))
    assert np.isnan(received).all()
    assert model.error().startswith("KsrCell: ") and words in model.error()


def test_a_damaged_file_is_refused_by_our_interpreter(case, tmp_path):
    wrong = damaged(case[0], tmp_path, 400, 1)
    with pytest.raises(ValueError) as error:
        export.Interpreter(wrong)
    assert str(error.value) == (
        f"`path` must be a file that `export_litert` wrote. Received: path={str(wrong)!r} of "
        f"{len(wrong.read_bytes())} bytes, which is damaged: its content does not have the "
        "checksum that it was written with"
    )


def test_a_missing_library_is_said_in_words(case, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "a" / "b" / "_ksr_delegate.so")
    with pytest.raises(ValueError) as error:
        export.Interpreter(case[0])
    assert str(error.value) == (
        "The library of the operators of runtime='ksr' is missing: it was not built, for want of "
        "a C++17 compiler. Install one (for example `apt install g++`) and run `pip install "
        "--force-reinstall --no-deps` on keras_sparse_rnn again. Files of runtime='builtin' do "
        "without it"
    )
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.GRU(2)])
    with pytest.raises(ValueError, match="^The library of the operators of runtime='ksr' is miss"):
        export.export_litert(model, tmp_path / "model.tflite", "ksr")
    assert not list(tmp_path.iterdir())


def test_a_broken_library_is_said_in_words(case, tmp_path, monkeypatch):
    broken = tmp_path / "_ksr_delegate.so"
    broken.write_bytes(b"nothing")
    monkeypatch.setattr(library, "LIBRARY", broken)
    with pytest.raises(ValueError) as error:
        export.Interpreter(case[0])
    assert str(error.value) == (
        f"The library of the operators of runtime='ksr' does not load: {broken}: file too short. "
        "Install keras_sparse_rnn again"
    )


def test_a_file_of_built_in_operators_needs_no_delegate(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "a" / "b" / "_ksr_delegate.so")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.GRU(2)])
    export.export_litert(model, tmp_path / "model.tflite")
    assert own_operators.delegates_for(tmp_path / "model.tflite") == []
    assert export.Interpreter(tmp_path / "model.tflite")
