"""A config, wherever it comes from, names known classes only: loading a file runs no code."""

import json
import sys
import zipfile

import keras
import pytest
from written_configs import HALF, Mine, ours

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.callbacks.configs import deserialize_selector, serialize_selector
from keras_sparse_rnn.schedules import TfmotSchedule


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module `evil` that can be imported and writes the file that is returned when it is, or when
    its class is called.
    """
    marker = tmp_path / "marker"
    tmp_path.joinpath("evil.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n\n\nclass X:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield marker
    sys.modules.pop("evil", None)


def command(marker):
    """The config of a tfmot schedule that would run a command."""
    return {"module": "os", "type": "system", "config": {"command": f"touch {marker}"}}


def imported(evil):
    """The config of a callback that would import a module."""
    return {"schedule": HALF, "layers": {"module": "evil", "type": "X"}}


UNKNOWN_SCHEDULE = (
    "`type` of a TfmotSchedule must be 'ConstantSparsity' or 'PolynomialDecay', or the name under "
    "which a PruningSchedule of your own is registered with "
    "keras.saving.register_keras_serializable. Received: type='system'"
)
UNKNOWN_LAYER = (
    "A layer type in a config must be the name of a class of keras.layers, or that under which a "
    "layer is registered with keras.saving.register_keras_serializable. Received: type='X'"
)


def test_a_tfmot_schedule_in_a_config_runs_no_command(evil):
    with pytest.raises(ValueError) as error:
        keras.saving.deserialize_keras_object(ours("TfmotSchedule", command(evil)))
    assert str(error.value) == UNKNOWN_SCHEDULE
    assert not evil.exists()


@pytest.mark.parametrize("argument", ["kernel_regularizer", "recurrent_constraint"])
@pytest.mark.parametrize(
    "name, config, message",
    [("TfmotSchedule", command, UNKNOWN_SCHEDULE), ("BlockPruning", imported, UNKNOWN_LAYER)],
)
def test_a_keras_file_made_by_hand_runs_no_code(tmp_path, evil, argument, name, config, message):
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.LSTM(3)])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as whole:
        files = {each: whole.read(each) for each in whole.namelist()}
    written = json.loads(files["config.json"])
    layer = next(one for one in written["config"]["layers"] if one["class_name"] == "LSTM")
    layer["config"][argument] = ours(name, config(evil))
    files["config.json"] = json.dumps(written)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as whole:
        for each, content in files.items():
            whole.writestr(each, content)
    with pytest.raises(ValueError) as error:
        keras.models.load_model(tmp_path / "model.keras")
    assert str(error.value) == message
    assert not evil.exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BlockPruning.from_config(
            {"schedule": HALF, "layers": {"module": "evil", "type": "X"}}
        ),
        lambda: BlockPruning.from_config({"schedule": [[{"module": "evil", "type": "X"}, HALF]]}),
        lambda: StrengthSchedule.from_config(
            {
                "schedule": HALF,
                "until": None,
                "regularizer": keras.saving.serialize_keras_object(
                    ksr.regularizers.GroupLasso(0.1)
                ),
                "layers": [{"module": "evil", "type": "X"}],
            }
        ),
    ],
    ids=["layers", "schedule", "strength"],
)
def test_a_selector_in_a_config_imports_no_module(evil, make):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == UNKNOWN_LAYER
    assert not evil.exists()


@pytest.mark.parametrize("name", ["get", "register_keras_serializable", "Activation.from_config"])
def test_a_selector_is_nothing_but_a_layer_class(name):
    with pytest.raises(ValueError, match=f"A layer type in a config .* Received: type='{name}'"):
        deserialize_selector({"type": name})


@pytest.mark.parametrize(
    "kind, name",
    [
        (keras.layers.LSTM, "LSTM"),
        (keras.layers.Bidirectional, "Bidirectional"),
        (keras.Sequential, "Sequential"),
        (keras.Model, "Model"),
        (keras.Layer, "Layer"),
        (ksr.layers.BlockSparseGRU, "keras_sparse_rnn>BlockSparseGRU"),
        (Mine, "tests_of_configs>Mine"),
    ],
)
def test_layer_types_are_written_by_the_names_that_keras_knows_them_by(kind, name):
    written = serialize_selector(["rnn", kind])
    assert json.loads(json.dumps(written)) == ["rnn", {"type": name}]
    assert deserialize_selector(written) == ["rnn", kind]


def test_a_layer_type_that_is_not_registered_cannot_be_written():
    class LSTM(keras.layers.LSTM):
        pass

    with pytest.raises(ValueError) as error:
        serialize_selector(LSTM)
    assert str(error.value) == (
        "A layer type can be written into a config if it is a class of keras.layers or registered "
        f"with keras.saving.register_keras_serializable. Received: {LSTM!r}"
    )


@pytest.mark.parametrize("name", ["tests_of_configs>Mine", "tests_of_configs>beyond_three"])
def test_what_is_registered_and_no_tfmot_schedule_is_refused(name):
    with pytest.raises(ValueError) as error:
        TfmotSchedule.from_config({"type": name, "config": {}})
    assert str(error.value) == UNKNOWN_SCHEDULE.replace("'system'", repr(name))


@pytest.mark.parametrize("name", [{"class_name": "X"}, ["PolynomialDecay"], 3, None])
def test_a_type_of_a_tfmot_schedule_that_is_no_name_is_refused(name):
    with pytest.raises(ValueError) as error:
        TfmotSchedule.from_config({"type": name, "config": {}})
    assert str(error.value) == UNKNOWN_SCHEDULE.replace("'system'", repr(name))


def test_a_class_name_that_has_a_meaning_of_its_own_to_keras_imports_no_module(evil):
    written = ours("Constant", {}, class_name="__typespec__", module="evil", spec_name="X")
    written.update(shape=None, dtype="float32", registered_name="keras_sparse_rnn>Constant")
    with pytest.raises(ValueError) as error:
        BlockPruning.from_config({"schedule": written})
    assert str(error.value) == (
        "`schedule` in a config must be a Schedule of keras_sparse_rnn, or one of your own that is "
        f"registered with keras.saving.register_keras_serializable. Received: {written!r}"
    )
    assert not evil.exists()
