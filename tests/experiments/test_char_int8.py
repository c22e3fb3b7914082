import json

import numpy as np
import pytest

from experiments.common import number_formats
from experiments.text import char_int8


@pytest.fixture
def story(tmp_path):
    words = np.random.default_rng(0).choice(
        ["sun", "moon", "rises", "and", "the", "sets"], (300, 12)
    )
    path = tmp_path / "story.txt"
    path.write_text("\n\n".join(" ".join(line) for line in words))
    return path


@pytest.mark.slow
def test_a_quick_run_measures_every_format_of_the_pruned_model(story, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--quick", "--units", "64", "--text", str(story), "--output", str(output)]
    assert char_int8.main(arguments) == 0
    (model,) = json.loads((output / "int8.json").read_text())["models"]
    assert model["sparsity"] == pytest.approx(0.9, abs=0.03)
    bits = model["bits"]
    assert list(bits) == list(number_formats.FORMATS)
    assert len({tuple(of_format.values()) for of_format in bits.values()}) == 5  # none as another
    exact = bits[number_formats.FLOAT]
    for part in number_formats.PARTS:
        assert 0 < exact[part] < 3
        of_part = [of_format[part] for of_format in bits.values()]
        np.testing.assert_allclose(of_part, exact[part], rtol=0.02)
    printed = " ".join(capsys.readouterr().out.split())
    assert "LSTM-64, bits per character; seeds: 1" in printed


def test_costs_are_found_seed_by_seed():
    runs = [
        {
            name: {"validation": base, "test": base * (1 + 0.01 * place)}
            for place, name in enumerate(number_formats.FORMATS)
        }
        for base in (1.0, 2.0)
    ]
    table = number_formats.cost_table("costs", runs, lambda errors: f"{max(errors):.2f}")
    rows = list(zip(*(column.cells for column in table.columns)))
    assert rows[0] == ("float32", "2.00", "2.00", "", "", "", "")
    assert rows[2][1:] == ("2.00", "2.04", "+0.00 ± 0.00 %", "+2.00 ± 0.00 %", "", "")
    assert rows[3][-2:] == ("+0.00 ± 0.00 %", "+0.98 ± 0.00 %")


def test_bad_arguments_are_refused_before_anything_is_trained(tmp_path, capsys):
    output = tmp_path / "out"
    assert char_int8.main(["--units", "0", "--output", str(output)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == "error: `--units` must be at least 1. Received: 0"
    assert not output.exists()
