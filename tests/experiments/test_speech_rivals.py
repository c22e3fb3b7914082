"""The search for the best settings of a pruned and of a small dense recogniser."""

import json

import numpy as np
import pytest

from experiments.speech import speech_rivals
from experiments.speech.speech_network import weights


class HeldOut:
    """Instead of trainings: the error is least at a rate of 6e-3, no dropout and 28,800 steps."""

    def __init__(self):
        self.recipes = []

    def figures(self, recipe):
        self.recipes.append(recipe)
        distance = abs(np.log2(recipe.learning_rate / 6e-3)) + recipe.dropout
        validation = 1 + distance + abs(np.log2(recipe.steps / 28_800))
        return {"validation": validation, "test": 0.5, "seconds": 60.0}


def test_both_have_as_many_weights_and_the_small_one_more_steps():
    options = speech_rivals.parse([])
    small, ladders = speech_rivals.start_of(options, "small", 27)
    pruned, others = speech_rivals.start_of(options, "pruned", 27)
    assert weights(small, 27) == pytest.approx(weights(pruned, 27), rel=0.01)
    assert small.steps == pruned.steps == 14_400
    assert ladders["steps"] == [4_800, 14_400, 28_800] and "steps" not in others


def test_what_is_best_on_validation_is_found_and_no_trial_shows_the_test():
    start, ladders = speech_rivals.start_of(speech_rivals.parse([]), "small", 27)
    held_out = HeldOut()
    best, tried = speech_rivals.searched(start, ladders, held_out)
    assert (best.steps, best.learning_rate, best.dropout) == (28_800, 6e-3, 0.0)
    assert [(one["steps"], one["learning_rate"], one["dropout"]) for one in tried] == [
        (14_400, 3e-3, 0.0),
        (14_400, 6e-3, 0.0),
        (14_400, 12e-3, 0.0),
        (14_400, 6e-3, 0.1),
        (28_800, 6e-3, 0.0),
    ]
    assert not any("test" in one for one in tried)
    assert len({one.name() for one in held_out.recipes}) == len(held_out.recipes) == len(tried)
    again = HeldOut()
    assert speech_rivals.searched(start, ladders, again, tried[:4]) == (best, tried)
    assert [one.steps for one in again.recipes] == [28_800]


@pytest.mark.slow
def test_a_quick_run_finds_settings_and_goes_on_where_it_was(
    recordings, tmp_path, capsys, monkeypatch
):
    for ladder in ("RATES", "DROPOUTS"):  # fewer trainings
        monkeypatch.setattr(speech_rivals, ladder, getattr(speech_rivals, ladder)[:2])
    more = ["--quick", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_rivals.main([*more, "--kinds", "pruned"]) == 0
    rows = json.loads((tmp_path / "rivals.json").read_text())["rows"]
    (run,) = rows["pruned"]["runs"]
    best = min(rows["pruned"]["tried"], key=lambda one: one["validation"])
    for name in ("steps", "learning_rate", "dropout"):
        assert run["recipe"][name] == best[name]
    assert run["recipe"]["seed"] == 1 and 0 < run["test"]
    assert run["sparsity"] == pytest.approx(0.9, abs=0.02)
    capsys.readouterr()
    assert speech_rivals.main([*more, "--kinds", "pruned"]) == 0
    assert "taken from" in capsys.readouterr().out
    assert json.loads((tmp_path / "rivals.json").read_text())["rows"] == rows
    assert speech_rivals.main([*more, "--kinds", "pruned", "--trials"]) == 0
    trials = json.loads((tmp_path / "rivals_trials.json").read_text())["rows"]
    assert trials == {"pruned": {"tried": rows["pruned"]["tried"], "runs": []}}
