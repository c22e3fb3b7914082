"""The guide `docs/your_model.md`: its code runs, prints what it says, and does what it is for."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tf_keras

import keras_sparse_rnn as ksr

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_sparse_rnn"
GUIDE = (ROOT / "docs" / "your_model.md").read_text(encoding="utf-8")
PREAMBLE, *PARTS = re.split(r"^## ", GUIDE, flags=re.M)
BLOCK = re.compile("```python\n(.*?)```", re.DOTALL)
SECTIONS = {part.splitlines()[0]: BLOCK.findall(part) for part in PARTS}
MESSAGES = re.findall(r"^\| `(.*?)` \|", GUIDE, re.M)
OF_OTHERS = (
    "could not be deserialized properly",
    "Op type not registered 'KerasSparseRnnPrepared'",
    "To use the BackupAndRestore callback",
    "Could not interpret optimizer identifier",
)
# Keras did so once; then a `.keras` file loads without the import.
IMPORTS_WHAT_A_FILE_NAMES = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)


def share_of_zeros(*kernels):
    return np.mean(np.concatenate([np.ravel(kernel) == 0 for kernel in kernels]))


def without_input(names):
    kernels = [names["model"].layers[0].cell.kernel, names["model"].layers[0].cell.recurrent_kernel]
    assert share_of_zeros(*kernels) == pytest.approx(0.75, abs=0.01)
    details = ksr.export.Interpreter("model.tflite").get_input_details()
    assert [tuple(each["shape"]) for each in details] == [(1, 100, 8)]
    ksr.export_litert(names["sparse"], "fit.tflite")  # the sizes that Keras has noted
    details = ksr.export.Interpreter("fit.tflite").get_input_details()
    assert [tuple(each["shape"]) for each in details] == [(32, 10, 8)]


def subclassed(names):
    new = names["Tagger"]()
    new(names["x"][:1])
    new.load_weights("tagger.weights.h5")
    np.testing.assert_array_equal(
        new.predict(names["x"], verbose=0), names["model"].predict(names["x"], verbose=0)
    )
    assert type(names["loaded"].lstm) is ksr.layers.BlockSparseLSTM


def cells(names):
    dense = ksr.to_dense(names["model"], in_place=True).cell
    assert share_of_zeros(dense.kernel, dense.recurrent_kernel) == 0.75
    assert type(dense) is keras.layers.LSTMCell and names["pruning"].sparsity == 0.75


def gan(names):
    cell = names["gan"].generator.layers[0].cell
    assert share_of_zeros(cell.kernel, cell.recurrent_kernel) == 0.75
    noise = names["x"][:8]
    np.testing.assert_allclose(names["generator"](noise), names["gan"].generator(noise), atol=1e-5)


def ctc(names):
    x = names["x"][:1, :7]
    expected = names["recogniser"](x)
    assert expected.shape == (1, 7, 5)
    inputs = [x, names["labels"][:1]]
    np.testing.assert_allclose(expected, names["model"](inputs), atol=1e-5)
    details = ksr.export.Interpreter("recogniser.tflite").get_input_details()
    assert [tuple(each["shape"]) for each in details] == [(1, 100, 8)]
    assert names["sparse"].evaluate([names["x"], names["labels"]], verbose=0) == pytest.approx(
        names["model"].evaluate([names["x"], names["labels"]], verbose=0), rel=1e-5
    )


def sizes(names):
    large, small = (names["model"].get_layer(name).cell for name in ("large", "small"))
    assert share_of_zeros(large.kernel, large.recurrent_kernel) == 0.75
    assert share_of_zeros(small.kernel, small.recurrent_kernel) == 0.5
    assert "lstm" not in str(names["report"]) and "large, kernel:" in str(names["report"])


def mixed(names):
    cell = names["model"].layers[0].cell
    assert cell.kernel.dtype == "float32" and cell.compute_dtype == "bfloat16"
    assert share_of_zeros(cell.kernel, cell.recurrent_kernel) == 0.75
    assert type(names["sparse"].layers[0]) is ksr.layers.BlockSparseLSTM
    names["sparse"].compile("adam", "mse")
    assert names["sparse"].jit_compile is False


def early_stopping(names):
    assert names["stopping"].best_epoch > 0  # the schedule ends at step 15, in the second epoch


def resumed(names):
    assert names["pruning"].sparsity == 0.75
    assert not pathlib.Path("backup").exists()  # Keras deletes it when a training is through


def fine_tuned(names):
    assert type(names["sparse"].layers[0]) is ksr.layers.BlockSparseLSTM


OTHER_PROCESS = """
import keras, numpy, tensorflow
x = numpy.load("x.npy")
predictions = {"plain": keras.models.load_model("plain.keras").predict(x, verbose=0)}
for load in (lambda: keras.models.load_model("sparse.keras"),
             lambda: tensorflow.saved_model.load("served").serve):
    try:
        load()
    except Exception as error:
        print(type(error).__name__, error)
import keras_sparse_rnn
served = tensorflow.saved_model.load("served")
predictions["served"] = served.serve(x)
predictions["sparse"] = keras.models.load_model("sparse.keras").predict(x, verbose=0)
numpy.savez("predictions.npz", **predictions)
"""


def served(names):
    """What needs this package to be imported, and what does not, in a process of its own."""
    assert names["loaded"].layers[0].__class__ is keras.layers.LSTM  # the second of the two
    np.save("x.npy", names["x"])
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    for message in OF_OTHERS[:2]:
        assert message in done.stdout or IMPORTS_WHAT_A_FILE_NAMES, message
    predictions = np.load("predictions.npz")
    assert sorted(predictions) == ["plain", "served", "sparse"]
    for predicted in predictions.values():
        np.testing.assert_allclose(predicted, names["expected"], atol=1e-5)


CHECKS = {
    "A model without `Input`": without_input,
    "A subclassed model": subclassed,
    "A cell that your code steps": cells,
    "A GAN, or any `train_step` with optimizers of its own": gan,
    "A layer that cannot be copied, such as a CTC loss": ctc,
    "Layers of different sizes": sizes,
    "Mixed precision, XLA, GPU": mixed,
    "Early stopping": early_stopping,
    "Fine-tuning a pruned model": fine_tuned,
    "Resuming a training that was broken off": resumed,
    "Saving, reloading and serving": served,
}


def test_every_section_with_code_is_run():
    assert [title for title, blocks in SECTIONS.items() if blocks] == list(CHECKS)


def run(code, names):
    """Runs a block of the guide; what a `print` of it prints is what stands behind it."""
    lines, done = code.splitlines(), set()

    def checked(*values):
        number = sys._getframe(1).f_lineno
        assert " ".join(map(str, values)) == lines[number - 1].split(")  # ")[1]
        done.add(number)

    names["print"] = checked
    exec(compile(code, "docs/your_model.md", "exec"), names)
    assert done == {number for number, line in enumerate(lines, 1) if "print(" in line}


@pytest.mark.slow  # `make test-processes` runs it
# The guide says that `substitute` warns there.
@pytest.mark.filterwarnings("ignore:substitute. a Keras file of .* cannot be loaded:UserWarning")
@pytest.mark.parametrize("title", CHECKS)
def test_the_code_of_a_section_does_what_the_guide_says(title, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    names = {"__name__": "guide"}
    try:
        for code in (*BLOCK.findall(PREAMBLE), *SECTIONS[title]):
            run(code, names)
    finally:
        keras.config.set_dtype_policy("float32")
    CHECKS[title](names)


def texts_of_the_package():
    """Every text in its code, with what is put into it left out."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            values = [getattr(part, "value", None) for part in parts]
            yield "".join(value for value in values if isinstance(value, str))


def test_the_messages_that_the_guide_explains_are_those_of_the_package():
    texts = " ".join(texts_of_the_package())
    for message in MESSAGES:
        assert message in texts or message in OF_OTHERS, message
    assert [message for message in MESSAGES if message in OF_OTHERS] == [
        OF_OTHERS[2],
        *OF_OTHERS[:2],
        OF_OTHERS[3],
    ]


def test_the_messages_of_keras_that_the_guide_explains_are_those_of_keras(tmp_path):
    model = keras.Sequential([keras.layers.LSTM(4)])
    with pytest.raises(ValueError, match=OF_OTHERS[3]):
        model.compile(tf_keras.optimizers.Adam(), "mse")
    model.compile("adam", "mse")
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(ValueError, match=OF_OTHERS[2]):
        model.fit(np.zeros((2, 3, 4)), np.zeros((2, 4)), callbacks=[backup], verbose=0)
