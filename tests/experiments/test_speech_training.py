"""The model of speech, its loss and its error rate, and the recipes that it is trained by."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.speech import (
    speech_ctc,
    speech_data,
    speech_network,
    speech_training,
)


def test_padding_changes_nothing():
    """Neither the loss nor what is heard: shorter utterances are masked, in both directions."""
    keras.utils.set_random_seed(5)
    recipe = speech_training.Recipe(cell="gru", layers=2, units=5)
    model = speech_training.build(recipe, letters=4)
    generator = np.random.default_rng(2)
    utterances = [
        (generator.normal(size=(frames, speech_data.FEATURES)), np.array(codes))
        for frames, codes in ((11, [1, 4, 4]), (7, [2, 3]))
    ]
    frames, targets = speech_data.collate(utterances)
    alone_frames, alone_targets = speech_data.collate(utterances[1:])
    together, alone = model(frames), model(alone_frames)
    np.testing.assert_allclose(together[1, :7], alone[0], atol=1e-5)
    np.testing.assert_allclose(
        speech_training.ctc(targets, together)[1],
        speech_training.ctc(alone_targets, alone)[0],
        rtol=1e-5,
    )


def test_ctc_is_the_sum_over_all_paths():
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(5, 3))
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    paths = np.stack(np.meshgrid(*[range(3)] * 5), -1).reshape(-1, 5)
    matching = [path for path in paths if list(speech_training.collapsed(path)) == [2, 1]]
    expected = -np.log(sum(np.exp(log_probabilities[range(5), path].sum()) for path in matching))
    loss = speech_training.ctc(
        np.array([[5, 2, 1, 0]]), tf.constant(log_probabilities[None], tf.float32)
    )
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


@pytest.mark.parametrize(
    "path, letters", [([0, 0], []), ([], []), ([3, 3, 0, 3, 1, 1], [3, 3, 1]), ([0, 2, 2, 0], [2])]
)
def test_equal_neighbours_count_once_and_blanks_not(path, letters):
    assert list(speech_training.collapsed(np.array(path, int))) == letters


@pytest.mark.parametrize(
    "one, other, distance",
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("six", "sixty six", 6)],
)
def test_edit_distance(one, other, distance):
    assert (
        speech_training.edit_distance(one, other)
        == speech_training.edit_distance(other, one)
        == distance
    )


def test_character_error_rate_weighs_utterances_by_their_letters():
    assert speech_training.character_error_rate(["ab", ""], ["ab", "abcdef"]) == 6 / 8


def test_recipes_differ_in_what_their_titles_say():
    recipes = speech_ctc.recipes(
        speech_ctc.parse(["--rows", "levers", "longer", "equal", "wider"]),
        "gru",
        seed=3,
        letters=27,
    )
    assert len({one.name() for one in recipes.values()}) == len(recipes) == 12
    for title, one in recipes.items():
        assert one.learning_rate == (
            2e-3
            if "wide" in title
            else 1.5e-3
            if title in ("dense", "dense, twice the steps")
            else 3e-3
        )
        assert one.steps == 4800 * (
            2 if "twice the steps" in title else 3 if "three times the steps" in title else 1
        )
        assert one.units == (384 if "wide" in title else 78 if "as many" in title else 256)
        assert not one.sparsity or "{} x {}".format(*one.block_shape) in title
        assert (one.criterion == "l2") == ("magnitude" in title) and bool(
            one.sparsity and one.scope == "model"
        ) == ("gates compared" in title)
        assert bool(one.lasso) == ("lasso" in title) and bool(one.sparsity) == (
            "pruned" in title and "as many" not in title
        )


@pytest.mark.parametrize("rows, others", [("equal", 5), ("longer", 3), ("wider", 1), ("levers", 3)])
def test_each_group_of_rows_begins_with_the_dense_model(rows, others):
    recipes = speech_ctc.recipes(speech_ctc.parse(["--rows", rows]), "gru", seed=1, letters=27)
    assert next(iter(recipes)) == "dense" and len(recipes) == 1 + others
    assert recipes["dense"] == speech_training.Recipe(units=256, steps=4800, learning_rate=1.5e-3)


def test_tuned_are_dense_small_pruned_and_wide():
    arguments = speech_ctc.parse(["--rows", "equal", "wider"])
    kinds = speech_ctc.one_of_each_kind(speech_ctc.recipes(arguments, "rnn", seed=0, letters=27))
    assert list(kinds) == [
        "dense",
        "dense, as many weights as pruned",
        "lasso while pruned, 16 x 16",
        "wide, lasso while pruned, 16 x 16, three times the steps",
    ]


def test_pruning_is_that_of_the_recipe_of_the_package():
    recipes = speech_ctc.recipes(speech_ctc.parse([]), "gru", seed=3, letters=27)
    recipe, lasso = recipes["pruned, 16 x 16"], recipes["lasso while pruned, 16 x 16"]
    for one in (recipe, lasso):
        ours = ksr.recipes.PruneTrained(
            one.steps,
            one.learning_rate,
            one.sparsity,
            one.block_shape,
            scope="gate",
            lasso=one.lasso,
        )
        assert [callback.get_config() for callback in speech_training._sparse(one)] == [
            callback.get_config() for callback in ours.callbacks
        ]
    assert speech_training._sparse(recipes["dense"]) == []


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_weights_are_counted_right(cell):
    recipe = speech_training.Recipe(cell=cell, layers=2, units=7)
    model = speech_training.build(recipe, letters=5)
    assert (
        speech_network.weights(recipe, 5)
        == model.count_params()
        == speech_training.parameters(model)
    )
