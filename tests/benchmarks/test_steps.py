"""The programs that measure single steps: what they are asked, and one small case from end to
end.
"""

import importlib
import json
import pathlib
import shutil

import pytest

cases = importlib.import_module("benchmarks.steps.cases")
main = importlib.import_module("benchmarks.steps.__main__").main
as_table = importlib.import_module("benchmarks.steps.__main__").as_table
ROOT = pathlib.Path(__file__).parents[2]


def test_a_case_says_what_each_program_is_asked():
    case = cases.Case("gru", 384, (4, 8), "int8", "int8", 0.1, 1)
    assert case.ours() == ["gru", 384, 384, 4, 8, "int8", "int8", 0.1, 1]
    assert case.ops() == ["gru", 384, 384, 4, 8, "int8", 0.1, 1]
    assert case.rnnoise() == [384, "int8", 0.1]
    assert case.weight_bytes() == 88474
    assert case.name() == "GRU-384, 4x8, int8 x int8, T=1"


def test_peers_are_left_out_where_they_have_no_such_cell():
    dense = cases.Case("dense", 64, (16, 16), "float32", "float32", 0.5, 1, 32)
    assert dense.ops() is None and dense.rnnoise() is None
    assert dense.weight_bytes() == 4 * 32 * 64 / 2
    assert cases.Case("lstm", 64, (4, 8), "int8", "int8", 0.5, 1).rnnoise() is None


def test_the_published_results_have_every_case():
    published = json.loads((ROOT / "benchmarks" / "results" / "steps.json").read_text())
    assert [one["case"] for one in published["cases"]] == [one.name() for one in cases.table()]
    for one in published["cases"]:
        assert one["microseconds_per_step"] > 0 and one["ops_microseconds_per_step"] > 0
    assert len(as_table(published["cases"]).rows) == len(cases.table())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="the programs are built with CMake")
def test_one_case_is_built_measured_and_printed_as_one_object(capsys):
    main("--cell gru --units 24 --block 4 8 --weights int8 --activations int8 --json -".split())
    found = json.loads(capsys.readouterr().out)
    assert found["case"] == "GRU-24, 4x8, int8 x int8, T=1"
    assert 0 < found["microseconds_per_step"] < 1000 and found["stored_weights"] > 0
