import json

import pytest

from experiments.common import number_formats
from experiments.speech import speech_int8, speech_recordings


@pytest.mark.slow
def test_a_quick_run_measures_every_format_of_the_pruned_model(recordings, tmp_path, capsys):
    """Neither learnt from nor mixed: the speakers of validation and of test."""
    arguments = ["--quick", "--steps", "20", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_int8.main(arguments) == 0
    results = json.loads((tmp_path / "int8.json").read_text())
    learnt, aside = speech_recordings.recorded(recordings, tuning=True)
    _, test = speech_recordings.recorded(recordings)
    assert results["speech"]["utterances"] == [len(learnt), len(aside), len(test)]
    (model,) = results["models"]
    assert 0.85 < model["sparsity"] < 0.95
    rates = model["character_error_rates"]
    assert list(rates) == list(number_formats.FORMATS)
    assert all(0 < of_format[part] for of_format in rates.values() for part in number_formats.PARTS)
    printed = " ".join(capsys.readouterr().out.split())
    assert "GRU-64, character error rate; seeds: 1" in printed


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert speech_int8.main(["--steps", "3", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "error: `--steps` must be at least 20. Received: 3"
    assert not output.exists()
