import copy
import json
import pickle
import platform
import subprocess
import sys

import numpy as np
import pytest

import ksr_runtime
from keras_sparse_rnn.export.c import file

RNG = np.random.default_rng(0)
TOKENS, X = RNG.integers(0, 7, (2, 11)), RNG.normal(size=(2, 11, 3)).astype("float32")


@pytest.fixture
def two(files):
    return ksr_runtime.Model(files["two"])


def test_a_model_says_what_keras_says(two, two_inputs):
    expected = [np.asarray(each) for each in two_inputs([TOKENS, X])]
    for x in ([TOKENS, X], {"x": X, "tokens": TOKENS}):
        results = two.run(x)
        assert list(results) == [port.name for port in two.outputs]
        for result, wanted in zip(results.values(), expected):
            assert result.dtype == np.float32 and result.shape == wanted.shape
            np.testing.assert_allclose(result, wanted, atol=1e-6)


def test_a_file_says_what_it_is(two):
    assert [(port.name, port.width, port.tokens) for port in two.inputs] == [
        ("tokens", 1, 7),
        ("x", 3, 0),
    ]
    assert [(port.width, port.last) for port in two.outputs] == [(12, False), (4, True)]
    assert two.notes["name"] == "two" and two.notes["sample_rate"] == 16000
    assert two.notes["labels"] == ["yes", "no"] and two.notes["weights"] == "float32"


def test_a_saved_model_is_mapped_and_gives_the_same_bits(two, files, tmp_path):
    two.save(tmp_path / "prepared.ksr")
    again = ksr_runtime.Model(tmp_path / "prepared.ksr")
    assert not again._memory.flags.writeable and again.processor == two.processor
    for one, other in zip(two.run([TOKENS, X]).values(), again.run([TOKENS, X]).values()):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["prepared.ksr"]


def test_every_instruction_set_of_this_machine_agrees(files):
    model = ksr_runtime.Model(files["chain"], "plain")
    assert model.processor == "plain"
    x = RNG.normal(size=(1, 5, 6))
    np.testing.assert_allclose(model.run(x), ksr_runtime.Model(files["chain"]).run(x), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([TOKENS], "`x` must have 2 inputs, tokens, x. Received: 1"),
        ({"x": X}, "`x` must have the inputs tokens, x. Received: x"),
        ([TOKENS, X[:, :, :2]], "the input 'x' must be [batch, steps, 3]. Received: shape "
         "(2, 11, 2)"),
        ([TOKENS[0], X], "the input 'tokens' must be [batch, steps]. Received: shape (11,)"),
        ([TOKENS, X[:, :4]], "`x` must have as many sequences, and steps, in each input. "
         "Received: shapes (2, 11, 1), (2, 4, 3)"),
        ([TOKENS[:, :0], X[:, :0]], "`x` must have at least one sequence and one step. Received: "
         "shape (2, 0, 1)"),
        ([TOKENS + 1, X], "tokens must be whole numbers from 0 to one less than the model has. "
         "Received: others"),
        ([TOKENS + 0.5, X], "tokens must be whole numbers from 0 to one less than the model has. "
         "Received: others"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_refused_in_words(two, x, message):
    with pytest.raises(ValueError) as error:
        two.run(x)
    assert str(error.value) == message


def test_nan_goes_its_way_and_the_stream_lives_on(files):
    model = ksr_runtime.Model(files["chain"])
    x = RNG.normal(size=(1, 4, 6))
    poisoned = x.copy()
    poisoned[0, 1] = np.nan
    result = model.run(poisoned)
    np.testing.assert_array_equal(result[:, :1], model.run(x)[:, :1])
    assert np.isnan(result[:, 1:]).all()


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        ksr_runtime.Model(tmp_path / "none.ksr")


BEGIN = "the file must be one that keras_sparse_rnn wrote, whole and for this machine: "


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c[:0], "memory has 0 bytes: the header alone takes 128"),
        (lambda c: b"PK" + c[2:], 'this is no model\'s file: it must begin with "ksr-mode"'),
        (lambda c: c[:12] + b"\2" + c[13:], "the model's file is of version 2: this library reads "
         "version 1"),
        (lambda c: c[:8] + c[8:12][::-1] + c[12:], "byte_order is 0x04030201: it must be "
         "0x01020304, that of little-endian numbers"),
        (lambda c: c[:1000], "memory has 1000 bytes of the model's {size}: it was cut short"),
    ],
)  # fmt: skip
def test_what_is_no_whole_file_is_refused_in_words(files, tmp_path, change, says):
    content = files["chain"].read_bytes()
    path = tmp_path / "changed.ksr"
    path.write_bytes(change(content))
    with pytest.raises(ValueError) as error:
        ksr_runtime.Model(path)
    says = says.format(size=len(content))
    assert str(error.value) == f"{BEGIN}{says}. Received: path={str(path)!r}"


def test_a_model_that_was_prepared_for_another_machine_is_refused_in_words(files, tmp_path):
    other = "neon" if platform.machine() in ("x86_64", "AMD64") else "avx2"
    path = tmp_path / "other.ksr"
    ksr_runtime.Model(files["chain"], other).save(path)
    with pytest.raises(ValueError) as error:
        ksr_runtime.Model(path)
    start = f'{BEGIN}the model was prepared for "{other}": this machine has '
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(f". Received: path={str(path)!r}")


def test_a_processor_that_there_is_not_is_named(files):
    with pytest.raises(ValueError) as error:
        ksr_runtime.Model(files["chain"], "avx-512")
    assert str(error.value).startswith(
        "`processor` must be None, or an instruction set by its name: processor is "
        '"avx-512": it must be one of '
    )
    assert str(error.value).endswith(". Received: processor='avx-512'")


@pytest.mark.parametrize("notes", [b"", b"[1]", b"no notes", b"[" * 100_000])
def test_notes_of_another_writer_are_not_read(notes, monkeypatch):
    model = file.ModelFile()
    register = model.register(2)
    model.add_input("x", register)
    result = model.step(file.ACTIVATION, register, 2, activation=1)
    model.add_output("y", result, False)
    monkeypatch.setattr(file.json, "dumps", lambda _: notes.decode())
    assert ksr_runtime.Model.from_bytes(model.bytes({})).notes == {}


def test_damage_is_noticed_or_harmless(files, tmp_path):
    """The native tests do this ten thousand times, under AddressSanitizer."""
    prepared = tmp_path / "prepared.ksr"
    ksr_runtime.Model(files["chain"]).save(prepared)
    rng, refused = np.random.default_rng(1), 0
    x = rng.normal(size=(1, 2, 6))
    for path in (files["chain"], prepared):
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for number in range(150):
            changed = content.copy()
            places = rng.integers(0, 600 if number % 2 else len(content), 3)
            changed[places] = rng.integers(0, 256, 3)
            try:
                ksr_runtime.Model.from_bytes(changed.tobytes()).run(x)
            except ValueError:
                refused += 1
    assert refused > 280


def test_without_the_native_library_it_is_said_what_to_do(files, monkeypatch, tmp_path):
    monkeypatch.setattr(ksr_runtime.library, "PATH", tmp_path / "_ksr.so")
    ksr_runtime.library.library.cache_clear()
    try:
        with pytest.raises(OSError) as error:
            ksr_runtime.Model(files["chain"])
    finally:
        ksr_runtime.library.library.cache_clear()
    assert str(error.value) == (
        "ksr_runtime has no native library: it was not built, for want of a C++17 compiler. "
        "Install one (for example `apt install g++`) and run `pip install --force-reinstall "
        "--no-deps` on keras_sparse_rnn again"
    )


IN_ANOTHER_PROCESS = """
import pickle, sys
model, x = pickle.load(sys.stdin.buffer)
print(model.run(x).ravel().tolist())
"""


def test_a_model_goes_to_other_processes_and_is_copied(files, tmp_path):
    """With its bytes: what it points to is there alone."""
    model = ksr_runtime.Model(files["chain"], "plain")
    model.save(tmp_path / "prepared.ksr")
    mapped, x = ksr_runtime.Model(tmp_path / "prepared.ksr"), RNG.normal(size=(1, 5, 6))
    expected = model.run(x)
    for one in (model, mapped):
        ran = subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS],
            input=pickle.dumps((one, x)),
            capture_output=True,
            check=True,
        )
        np.testing.assert_array_equal(json.loads(ran.stdout), expected.ravel())
    copied = copy.deepcopy(model)
    model._memory[:] = 0
    np.testing.assert_array_equal(copied.run(x), expected)
    assert copied.processor == "plain" and copied.inputs == mapped.inputs
