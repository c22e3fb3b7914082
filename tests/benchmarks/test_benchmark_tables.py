import pathlib

import made_up
import pytest

from benchmarks import charts, docs, tables, targets, texts
from benchmarks.__main__ import DOCS, committed
from benchmarks.problems import SERIES
from benchmarks.results import Results


@pytest.fixture(scope="module")
def results():
    return made_up.results()


def test_the_tables_of_the_docs_are_those_of_the_committed_results():
    text = DOCS.read_text(encoding="utf-8")
    assert text == docs.refreshed(text, committed(), DOCS.parent / "pictures")


def test_the_docs_have_every_table_and_every_picture():
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in tables.TABLES if f"<!-- table: {name} -->" not in text] == []
    assert [name for name in charts.CHARTS if f"<!-- picture: {name} -->" not in text] == []
    assert set(docs.PICTURES) == set(charts.CHARTS)


def test_refreshing_twice_changes_nothing(results, tmp_path):
    document = tmp_path / "benchmarks.md"
    document.write_text(DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "benchmarks-shapes.png").touch()
    docs.refresh(document, results)
    once = document.read_text(encoding="utf-8")
    docs.refresh(document, results)
    assert document.read_text(encoding="utf-8") == once
    assert once.count(docs.NOTHING) == len(charts.CHARTS) - 1  # the pictures that are not there
    assert "](pictures/benchmarks-shapes.png)" in once
    assert sorted(file.name for file in tmp_path.iterdir()) == ["benchmarks.md", "pictures"]


def test_every_row_is_as_long_as_its_header(results):
    for table in tables.all_tables(results):
        assert {len(row) for row in table.rows} == {len(table.header)}, table.title
        assert table.rich().row_count == len(table.rows)
    assert len(tables.all_tables(results)) == len(tables.TABLES)


def test_figures_compare_with_the_fastest_or_the_named_peer(results):
    found = {
        (figure.key, figure.case, figure.against): (figure, value)
        for figure, value, *_ in targets.measured(results)
    }
    assert len(found) == len(targets.FIGURES)
    for figure, value in found.values():
        expected = {
            "memory": 0.1,
            "torch": 12.0,
            targets.FASTEST: 10.0,
            "Keras graph": 10.0,
            "ours": 1.0,
            "time": 10.0 if "/steps/" in figure.key else 1000.0,
        }
        if figure.form == "int8":  # which was skipped
            assert value is None
            continue
        assert value == pytest.approx(expected[figure.against]), figure.what
    main = targets.FIGURES[0]
    assert targets.reached(main, 10.0) and not targets.reached(main, 9.9)
    memory = targets.FIGURES[-1]
    assert targets.reached(memory, 0.2) and not targets.reached(memory, 0.21)


def test_every_figure_has_its_case(results):
    for figure in targets.FIGURES:
        (cases,) = [
            cases
            for group in targets.GROUPS
            for problem, cases in results.of_group(group)
            if problem.key == figure.key
        ]
        assert figure.case in cases


def test_what_was_not_measured_says_so():
    few = made_up.results(only=["targets"])
    rows = {row[0]: row for row in tables.figures(few).rows}
    assert (
        rows["weights, gradients and Adam slots at 90 %, H 1024, of the dense layer's"][2]
        == "not measured"
    )
    assert all(table.rows for table in tables.all_tables(few))
    assert tables.all_tables(Results()) == []


def test_troubles_name_problem_case_and_reason(results):
    problem, cases = next(iter(results.of_group("targets")))
    lines = list(texts.troubles(problem, cases.values()))
    assert (
        "LSTM forward, H 1024, batch 1, T 100, ONNX Runtime, 90 % in 16x16: failed: ValueError: no"
        in lines
    )
    assert len(lines) == 3  # with ONNX Runtime after idleness, and int8


@pytest.mark.slow
def test_all_charts_are_drawn_whole(results, tmp_path):
    pytest.importorskip("matplotlib")
    paths = charts.draw(results, tmp_path)
    assert [path.name for path in paths] == [f"benchmarks-{name}.png" for name in charts.CHARTS]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert set(charts.COLOURS) == set(SERIES.values())
    assert charts.draw(Results(), pathlib.Path(tmp_path, "none")) == []
