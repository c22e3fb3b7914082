"""What closes the gap by steps: the rows, and learning from another network."""

import json

import numpy as np
import pytest
import tensorflow as tf

from experiments.speech import speech_data, speech_steps, speech_training
from experiments.speech.speech_steps import DENSE, LASSO, ROWS, recipes


def test_every_row_has_as_many_steps_and_a_name_of_its_own():
    asked = recipes(speech_steps.parse([]), 3, letters=27)
    assert sorted(asked) == sorted(ROWS)
    assert {one.steps for one in asked.values()} == {4800}
    assert len({one.name() for one in asked.values()}) == len(ROWS)
    (taught,) = (one for one in asked.values() if one.distillation)
    assert taught.teacher == asked[DENSE].name() == "gru256-dense-4800steps-seed3"
    assert {one.sparsity for one in asked.values()} == {0.0, 0.9}


def test_half_of_the_loss_is_the_difference_from_what_the_teacher_says():
    """Frames after the end of an utterance say nothing."""
    generator = np.random.default_rng(4)
    frames, targets = speech_data.collate(
        [
            (generator.normal(size=(size, speech_data.FEATURES)), np.array(codes))
            for size, codes in ((6, [1, 2]), (4, [2]))
        ]
    )
    logits = generator.normal(size=(2, 2, 6, 3)).astype("float32")
    log_probabilities = tf.nn.log_softmax(logits)
    says, mine = log_probabilities

    data = tf.data.Dataset.from_tensors((frames, targets))
    ((_, both),) = speech_training.taught(data, lambda frames, training: says)
    loss = speech_training.distillation_loss(0.5)(both, mine)

    right = speech_training.ctc(targets, mine)
    differences = -np.sum(np.exp(says) * mine, axis=-1)
    other = [differences[0].sum(), differences[1, :4].sum()]
    np.testing.assert_allclose(loss, 0.5 * right + 0.5 * np.array(other), rtol=1e-5)


def test_a_row_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        speech_steps.parse(["--rows", "evolution", "dence"])
    assert "Received: dence" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run_trains_the_teacher_first_and_trials_do_not_show_the_test(
    recordings, tmp_path, capsys
):
    taught = next(row for row in ROWS if row.startswith("taught"))
    more = ["--quick", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_steps.main([*more, "--trials", "--rows", taught, "evolution", LASSO]) == 0
    rows = json.loads((tmp_path / "steps_trials.json").read_text())["rows"]
    assert list(rows) == [taught, "evolution", LASSO]
    for (run,) in rows.values():
        assert run["sparsity"] == pytest.approx(0.9, abs=0.02)
        assert "test" not in run and 0 < run["validation"]
    assert (tmp_path / "gru64-dense-40steps-seed0.keras").exists()
    assert "not looked at" in capsys.readouterr().out
    assert speech_steps.main([*more, "--rows", DENSE]) == 0
    ((run,),) = json.loads((tmp_path / "steps.json").read_text())["rows"].values()
    assert 0 < run["test"]
