import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from experiments.text import char_lm, char_network, char_text, char_training


@pytest.fixture
def story(tmp_path):
    """A text of many different paragraphs, one of them told twice."""
    words = np.random.default_rng(0).choice(
        ["sun", "moon", "rises", "and", "the", "sets"], (300, 12)
    )
    paragraphs = [" ".join(line) for line in words]
    path = tmp_path / "story.txt"
    path.write_text("\n\n".join([*paragraphs, paragraphs[7]]))
    return path


def test_repeated_paragraphs_count_once(story):
    text = char_text.Text(story)
    assert text.length < len(story.read_text())
    assert text.decode(text.train) + text.decode(text.test) == "\n\n".join(
        story.read_text().split("\n\n")[:-1]
    )


def test_targets_are_the_inputs_one_character_later(story):
    text = char_text.Text(story)
    inputs, targets = list(
        char_text.windows(text.train, batch=3, window=17, steps=5, seed=1).as_numpy_iterator()
    )[4]
    assert inputs.shape == targets.shape == (3, 17)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    assert text.decode(inputs[0]) in text.decode(text.train)
    inputs, targets = text.evaluation()
    np.testing.assert_array_equal(inputs.ravel()[1:], targets.ravel()[:-1])


def test_text_shorter_than_one_sequence_is_refused(tmp_path, capsys):
    path = tmp_path / "short.txt"
    path.write_text("Call me Ishmael.")
    assert char_lm.main(["--text", str(path), "--output", str(tmp_path / "out")]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == (
        "error: `--text` must have at least 2570 characters outside repeated paragraphs, so that "
        f"its last tenth holds one sequence of 256. Received: {path} with 16 characters"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--sparsity", "1.5"],
            "`--sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: --sparsity=1.5",
        ),
        (["--tune"], "`--tune` finds the rates of the second table: give it with `--sweep`"),
        (["--seeds", "0"], "`--seeds` must be at least 1. Received: 0"),
        (
            ["--blocks", "0x16"],
            "`--blocks` must be (rows, columns), two integers of at least 1. Received: "
            "--blocks=(0, 16)",
        ),
        (
            ["--quick", "--blocks", "16x256"],
            "`block_shape` must not be larger than one gate of the kernel that it cuts: the "
            "recurrent kernel has (inputs, units) = (128, 128) per gate. Received: "
            "block_shape=(16, 256)",
        ),
        (
            ["--text", "nowhere.txt"],
            "`--text` must be a readable UTF-8 file. Received: nowhere.txt ([Errno 2] No such "
            "file or directory: 'nowhere.txt')",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(arguments, message, tmp_path, capsys):
    assert char_lm.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert " ".join(capsys.readouterr().out.split()) == f"error: {message}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", char_network.CELLS)
def test_equal_units_is_the_nearest_parameter_count(cell):
    for units in (3, 64, 170):
        model = char_network.build(50, units, cell=cell)
        assert char_network.total(50, units, cell) == model.count_params()
        assert char_network.equal_units(50, model.count_params(), cell) == units


def test_training_is_that_of_the_recipe_of_the_package(monkeypatch):
    dense, _, (recipe, _) = char_lm.recipes(char_lm.parse([]), seed=3)
    assert recipe.learning_rate == 2 * dense.learning_rate
    ours = ksr.recipes.PruneTrained(
        recipe.steps,
        recipe.learning_rate,
        recipe.sparsity,
        recipe.block_shape,
        scope="model",
        lasso=recipe.lasso,
    )
    assert [one.get_config() for one in char_training.callbacks_of(recipe, text=None)] == [
        one.get_config() for one in ours.callbacks
    ]
    model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(2, 2)])
    monkeypatch.setattr(model, "fit", lambda *args, **kwargs: None)
    char_training._fit(model, recipe, char_text.Text(None), char_lm.console)
    assert model.optimizer._learning_rate.get_config() == ours.learning_rate.get_config()


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(story, tmp_path, elsewhere):
    command = [
        sys.executable,
        "-m",
        "experiments.text.char_lm",
        "--quick",
        "--text",
        str(story),
        "--blocks",
        "4x4",
        "--output",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, **elsewhere)
    first = json.loads((tmp_path / "results.json").read_text())["models"]
    for model in tmp_path.glob("*4x4*.keras"):
        model.unlink()
    run = subprocess.run(command, check=True, capture_output=True, text=True, **elsewhere)
    assert run.stdout.count("taken from") == 2
    second = json.loads((tmp_path / "results.json").read_text())["models"]
    for one in (*first[0], *second[0]):
        one.pop("seconds")
    assert first == second
