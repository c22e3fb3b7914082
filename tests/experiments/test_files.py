import json

import pytest

from experiments.common import files


@pytest.mark.parametrize("name", ["lstm-74.5%-seed1.keras", "torus-0.03-90%-1.weights.h5"])
def test_a_model_is_found_again_by_what_was_asked_for(name, tmp_path):
    path, asked = tmp_path / name, {"units": 3, "block_shape": (4, 4)}
    assert files.record_of(path, asked) is None
    files.keep(path, lambda draft: draft.write_text("model"), asked, {"error": 0.5})
    assert path.read_text() == "model"
    assert files.record_of(path, asked) == {"error": 0.5}
    assert files.record_of(path, {**asked, "units": 4}) is None
    assert len(list(tmp_path.iterdir())) == 2
    path.unlink()
    assert files.record_of(path, asked) is None


def test_what_breaks_off_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.keras"
    files.keep(path, lambda draft: draft.write_text("old"), {"seed": 1}, {"error": 0.5})

    def save(draft):
        draft.write_text("half of")
        raise OSError("the disk is full")

    with pytest.raises(OSError):
        files.keep(path, save, {"seed": 1}, {"error": 0.4})
    with pytest.raises(TypeError):
        files.keep(path, lambda draft: draft.write_text("new"), {"seed": 1}, {"error": object()})
    assert path.read_text() == "old" and files.record_of(path, {"seed": 1}) == {"error": 0.5}
    files.write_json(tmp_path / "results.json", [1])
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "results.json", [object()])
    assert json.loads((tmp_path / "results.json").read_text()) == [1]
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "model.json",
        "model.keras",
        "results.json",
    ]


def test_figures_are_those_of_what_is_asked_for(tmp_path):
    path = tmp_path / "figures.json"
    assert files.figures_of(path, {"text": "help"}) is None
    files.keep_figures(path, {"text": "help", "shape": (1, 16)}, {"error": 0.5})
    assert files.figures_of(path, {"text": "help", "shape": (1, 16)}) == {"error": 0.5}
    assert files.figures_of(path, {"text": "library", "shape": (1, 16)}) is None
    path.write_text('{"error": 0.5}')
    assert files.figures_of(path, {"text": "help"}) is None


def test_rows_of_something_else_are_refused(tmp_path):
    path, rows = tmp_path / "rivals.json", {"small": {"tried": [{"steps": 1}]}}
    files.write_json(path, {"speech": {"digest": "a"}, "rows": rows})
    assert files.known_rows(path, "speech", {"digest": "a"}) == rows
    assert files.known_rows(None, "speech", {"digest": "a"}) == {}
    with pytest.raises(ValueError, match=r"`--known` must be of the speech .*rivals\.json"):
        files.known_rows(path, "speech", {"digest": "b"})
