import itertools
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.text import char_ablation, char_training
from experiments.text.char_network import total


@pytest.fixture
def story(tmp_path):
    words = np.random.default_rng(0).choice(
        ["sun", "moon", "rises", "and", "the", "sets"], (300, 12)
    )
    path = tmp_path / "story.txt"
    path.write_text("\n\n".join(" ".join(line) for line in words))
    return path


def test_rows_start_from_rows_that_exist():
    assert all(
        changes.get("start", "dense") in char_ablation.ROWS
        for changes in char_ablation.ROWS.values()
    )


def test_names_tell_rows_blocks_and_seeds_apart():
    names = []
    for cell, block in itertools.product(("lstm", "gru"), ("16x16", "1x16")):
        options = char_ablation.parse(["--cell", cell, "--block", block])
        names += [
            char_ablation.recipe_of(row, options, seed, 98).name()
            for row in char_ablation.ROWS
            for seed in (1, 2)
        ]
    dense = [name for name in names if re.match(r"(lstm|gru)\d+-dense", name)]
    assert len(set(names)) == len(names) - len(dense) // 2  # dense models serve all block shapes


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_small_dense_model_has_as_many_parameters_and_steps_as_the_pruned_one_with_its_start(
    cell,
):
    options = char_ablation.parse(["--cell", cell])
    small, start, pruned = (
        char_ablation.recipe_of(row, options, 1, 98) for row in ("small dense", "dense", "best")
    )
    assert small.steps == start.steps + pruned.steps and not small.sparsity
    count = total(98, pruned.units, cell, pruned.sparsity)
    assert abs(total(98, small.units, cell) - count) <= min(
        abs(total(98, small.units + more, cell) - count) for more in (-1, 1)
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_distillation_is_between_the_text_and_the_teacher(share):
    """At share 1 the gradient vanishes where the student says what the teacher says; at 0 it is
    that of the text.
    """
    generator = np.random.default_rng(4)
    inputs, targets = generator.integers(0, 5, (2, 3, 7))
    teacher = keras.Sequential([keras.layers.Embedding(5, 5), keras.layers.Dropout(0.9)])
    ((same, packed),) = char_training.taught(
        tf.data.Dataset.from_tensors((inputs, targets)), teacher
    )
    np.testing.assert_array_equal(same, inputs)
    logits = tf.Variable(teacher(inputs, training=False))
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(char_training.distillation_loss(share)(packed, logits))
        of_text = tf.reduce_sum(
            keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        )
    np.testing.assert_allclose(
        tape.gradient(loss, logits), (1 - share) * tape.gradient(of_text, logits), atol=1e-6
    )
    logits.assign_add(generator.normal(size=logits.shape))
    soft = -np.sum(tf.nn.softmax(packed[..., 1:] / 2) * tf.nn.log_softmax(logits / 2), -1)
    hard = -np.take_along_axis(tf.nn.log_softmax(logits).numpy(), targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(
        char_training.distillation_loss(share)(packed, logits),
        (1 - share) * hard + share * 4 * soft,
        rtol=1e-5,
    )


@pytest.mark.slow
def test_the_table_grows_row_by_row(story, tmp_path, capsys):
    arguments = ["--quick", "--text", str(story), "--output", str(tmp_path / "out"), "--only"]
    assert char_ablation.main([*arguments, "dense"]) == 0
    assert char_ablation.main([*arguments, "dense", "best"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("taken from") == 2  # by the row itself, and by the one that starts from it
    figures = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert list(figures) == ["lstm64-dense-seed1", "lstm64-90%-16x16-seed1"]
    assert figures["lstm64-90%-16x16-seed1"]["sparsity"] == pytest.approx(
        0.9, abs=0.03
    )  # of 16 blocks in a gate, 14 go


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert char_ablation.main(["--sparsity", "2", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        printed == "error: `--sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: "
        "--sparsity=2.0"
    )
    assert not output.exists()
