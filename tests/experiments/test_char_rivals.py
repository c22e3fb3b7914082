import json
import types

import numpy as np
import pytest

from experiments.text import char_rivals
from experiments.text.char_rivals_search import SMALL, Search, kinds_of
from experiments.text.char_text import Text

STEPS = "small, dense, its steps searched, too"


class Trainings:
    """Instead of real ones: bits are least at a rate of 4e-3, a dropout of 0.2 and 10,000 steps."""

    options = types.SimpleNamespace(jobs=2)

    def __init__(self):
        self.recipes = []

    def of(self, recipe):
        self.recipes.append(recipe)
        distance = abs(np.log2(recipe.learning_rate / 4e-3)) + abs(recipe.dropout - 0.2)
        return {"bits": 2 + distance + abs(np.log2(recipe.steps / 10_000))}


def test_the_search_walks_up_and_down_until_nothing_gets_better():
    trainings = Trainings()
    (tried, recipes) = Search(kinds_of(96), trainings, seeds=2).run([SMALL])[SMALL]
    assert [(one["learning_rate"], one["dropout"]) for one in tried] == [
        (8e-3, 0.1),
        (16e-3, 0.1),
        (4e-3, 0.1),
        (2e-3, 0.1),
        (4e-3, 0.2),
        (4e-3, 0.35),
    ]
    assert [(one.learning_rate, one.dropout, one.steps, one.seed) for one in recipes] == [
        (4e-3, 0.2, 5000, 1),
        (4e-3, 0.2, 5000, 2),
    ]


def test_a_kind_begins_with_what_was_found_for_another_and_goes_no_further_than_its_steps():
    found = Search(kinds_of(96), Trainings(), seeds=1).run([STEPS, "dense, half the units"])
    tried, (recipe,) = found[STEPS]
    assert tried[0]["learning_rate"] == 4e-3 and tried[0]["steps"] == 5000
    assert max(one["steps"] for one in tried) == recipe.steps == 10_000
    tried, (recipe,) = found["dense, half the units"]
    assert tried == []
    assert (recipe.units, recipe.learning_rate, recipe.dropout) == (256, 4e-3, 0.2)


def test_what_an_earlier_run_has_tried_is_not_trained_again():
    kinds = kinds_of(96)
    tried, recipes = Search(kinds, Trainings(), seeds=1).run([SMALL])[SMALL]
    trainings = Trainings()
    again = Search(kinds, trainings, seeds=1, known={SMALL: tried}).run([SMALL])[SMALL]
    assert again == (tried, recipes)
    assert trainings.recipes == recipes


def test_the_rivals_have_as_many_parameters(tmp_path):
    from experiments.text.char_network import total

    kinds = kinds_of(96)
    aim = total(96, 512, sparsity=0.9)
    for name in (SMALL, STEPS, "wide, pruned further"):
        recipe = kinds[name].recipe
        assert total(96, recipe.units, sparsity=recipe.sparsity) == pytest.approx(aim, rel=0.01)
    assert kinds["narrow, by units"].recipe.units_left == kinds[SMALL].recipe.units
    double = kinds["twice the units, pruned to the weights of dense"].recipe
    aim = total(96, 512)
    assert total(96, double.units, sparsity=double.sparsity) == pytest.approx(aim, rel=0.01)
    assert {kind.recipe.steps for kind in kinds_of(96, steps=70).values()} == {70}


def test_the_validation_text_is_no_part_of_the_training_and_the_test_text_stays(story):
    text, whole = Text(story, validation=True), Text(story)
    assert np.array_equal(text.test, whole.test)
    assert np.array_equal(np.concatenate([text.train, text.held_out]), whole.train)
    assert np.array_equal(text.evaluation()[0].ravel(), text.held_out[: text.evaluation()[0].size])
    assert np.array_equal(text.final()[0], whole.evaluation()[0])
    assert text.digest != whole.digest


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, story, capsys):
    output, known = tmp_path / "out", tmp_path / "known.json"
    known.write_text(json.dumps({"text": Text().described, "rows": {}}))
    for arguments, message in (
        (["--known", str(known)], "`--known` must be of the text that is learnt"),
        (["--jobs", "0"], "`--jobs` must be at least 1. Received: 0"),
        (["--kinds", "tiny"], "Received: 'tiny'"),
    ):
        asked = ["--text", str(story), "--output", str(output), *arguments]
        assert char_rivals.main(asked) == 2
        assert message in " ".join(capsys.readouterr().out.split())
        assert not output.exists()


@pytest.mark.slow
def test_a_quick_run_trains_every_rival(tmp_path, story, capsys):
    output = tmp_path / "out"
    arguments = ["--quick", "--jobs", "2", "--text", str(story), "--output", str(output)]
    assert char_rivals.main(arguments) == 0
    rows = json.loads((output / "rivals.json").read_text())["rows"]
    assert list(rows) == list(kinds_of(96))
    pruned, wide = (rows[name]["seeds"][0] for name in ("pruned, 16 x 16", "wide, pruned further"))
    assert wide["parameters"] == pytest.approx(pruned["parameters"], rel=0.1)
    assert rows["narrow, by units"]["seeds"][0]["units"] == rows[SMALL]["seeds"][0]["units"]
    assert "wide, pruned further" in capsys.readouterr().out


@pytest.fixture
def story(tmp_path):
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "and", "the"], (300, 12))
    file = tmp_path / "story.txt"
    file.write_text("\n\n".join(" ".join(line) for line in words))
    return file
