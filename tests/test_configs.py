"""A config, wherever it comes from, names known classes only: loading a file runs no code."""

import json
import sys
import zipfile

import keras
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth, StrengthSchedule
from keras_sparse_rnn.callbacks.configs import deserialize_selector, serialize_selector
from keras_sparse_rnn.regularizers import Moduli
from keras_sparse_rnn.schedules import Constant, TfmotSchedule

HALF = keras.saving.serialize_keras_object(Constant(0.5, 1))
TORUS = keras.saving.serialize_keras_object(ksr.manifolds.Torus())
FUNCTION = {"class_name": "function", "registered_name": "function"}


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


def ours(name, config, **more):
    """What Keras writes for an object of ours."""
    registered = f"keras_sparse_rnn>{name}"
    return {
        "module": None,
        "class_name": name,
        "registered_name": registered,
        "config": config,
        **more,
    }


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


@keras.saving.register_keras_serializable(package="tests_of_configs")
class Mine(keras.layers.LSTM):
    """A layer of a user's."""


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


LAYER = {
    "module": "keras.layers",
    "class_name": "Dense",
    "config": {"units": 3},
    "registered_name": None,
}


@pytest.mark.parametrize(
    "make, what, received",
    [
        (
            lambda: BlockPruning.from_config({"schedule": HALF, "regrowth": HALF}),
            "`regrowth` in a config must be a Regrowth",
            "registered_name='keras_sparse_rnn>Constant'",
        ),
        (
            lambda: BlockPruning.from_config({"schedule": HALF, "criterion": TORUS}),
            "`criterion` in a config must be a Criterion",
            "registered_name='keras_sparse_rnn>Torus'",
        ),
        (
            lambda: BlockPruning.from_config({"schedule": LAYER}),
            "`schedule` in a config must be a Schedule",
            "registered_name='Dense'",
        ),
        (
            lambda: StrengthSchedule.from_config(
                {"schedule": None, "until": None, "regularizer": HALF, "layers": None}
            ),
            "`regularizer` in a config must be a Regularizer",
            "registered_name='keras_sparse_rnn>Constant'",
        ),
        (
            lambda: Moduli.from_config({"manifold": HALF, "inhibitor": "gauss"}),
            "`manifold` in a config must be a Manifold",
            "registered_name='keras_sparse_rnn>Constant'",
        ),
        (
            lambda: ksr.criteria.LAMP.from_config(
                {"criterion": ours("LAMP", {}, registered_name="no>X")}
            ),
            "`criterion` in a config must be a Criterion",
            "registered_name='no>X'",
        ),
    ],
    ids=["regrowth", "criterion", "schedule", "regularizer", "manifold", "lamp"],
)
def test_an_object_of_another_class_is_refused_before_it_is_made(make, what, received):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == (
        f"{what} of keras_sparse_rnn, or one of your own that is registered with "
        f"keras.saving.register_keras_serializable. Received: {received}"
    )


@keras.saving.register_keras_serializable(package="tests_of_configs")
def beyond_three(distance):
    """An inhibitor of a user's."""
    return distance - distance.min()


@keras.saving.register_keras_serializable(package="tests_of_configs")
class Called:
    """An inhibitor that is an object."""

    def __call__(self, distance):
        return distance

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_an_inhibitor_may_be_an_object_of_a_registered_class():
    moduli = Moduli(ksr.manifolds.Torus(), inhibitor=Called())
    assert type(Moduli.from_config(moduli.get_config()).inhibitor) is Called


@pytest.mark.parametrize(
    "written, function",
    [
        ("gauss", "gauss"),
        ({**FUNCTION, "module": "builtins", "config": "relu"}, keras.activations.relu),
        ({**FUNCTION, "config": "tests_of_configs>beyond_three"}, beyond_three),
    ],
    ids=["name", "activation", "own"],
)
def test_an_inhibitor_in_a_config_is_a_function_that_is_known(written, function):
    moduli = Moduli.from_config({"manifold": TORUS, "inhibitor": written})
    assert moduli.inhibitor == function
    if function is beyond_three:
        assert Moduli.from_config(moduli.get_config()).inhibitor is function


@pytest.mark.parametrize(
    "written",
    [
        {**FUNCTION, "module": "keras.utils", "config": "get_file"},
        {**FUNCTION, "module": "keras.config", "config": "enable_unsafe_deserialization"},
        {**FUNCTION, "module": "os", "config": "system"},
        {**FUNCTION, "module": "builtins", "config": "deserialize"},
        {**FUNCTION, "module": "builtins", "config": ["relu"]},
        {**FUNCTION, "module": "builtins", "config": "__loader__"},
        {**FUNCTION, "module": "builtins", "config": "__builtins__"},
        {**FUNCTION, "config": "tests_of_configs>Mine"},
        {
            **FUNCTION,
            "class_name": "Mine",
            "registered_name": "keras_sparse_rnn>Torus",
            "config": {},
        },
        {
            "class_name": "Called",
            "registered_name": "tests_of_configs>Called",
            "config": {"wrong": 1},
            "module": None,
        },
        {"class_name": "__typespec__", "registered_name": "tests_of_configs>Called", "config": {}},
        {"class_name": "Dense", "config": {"units": 3}, "module": "keras.layers"},
    ],
    ids=lambda written: str(written["config"]),
)
def test_an_inhibitor_in_a_config_is_no_other_function(written):
    with pytest.raises(ValueError) as error:
        Moduli.from_config({"manifold": TORUS, "inhibitor": written})
    assert str(error.value) == (
        "`inhibitor` in a config must be the name of an inhibitor, a function of "
        "keras.activations, or one of your own that is registered with "
        f"keras.saving.register_keras_serializable. Received: {written!r}"
    )


def test_an_inhibitor_in_a_config_is_no_lambda_in_safe_mode():
    written = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
    with pytest.raises(ValueError, match="Requested the deserialization of a .*lambda"):
        Moduli.from_config({"manifold": TORUS, "inhibitor": written})


@pytest.mark.parametrize("name", ["tests_of_configs>Mine", "tests_of_configs>beyond_three"])
def test_what_is_registered_and_no_tfmot_schedule_is_refused(name):
    with pytest.raises(ValueError) as error:
        TfmotSchedule.from_config({"type": name, "config": {}})
    assert str(error.value) == UNKNOWN_SCHEDULE.replace("'system'", repr(name))


def test_regrowth_of_a_callback_is_loaded():
    config = {"schedule": HALF, "regrowth": keras.saving.serialize_keras_object(Regrowth(0.2))}
    assert BlockPruning.from_config(config).regrowth.fraction == 0.2


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


@pytest.mark.parametrize("name", ["Geometric", "Fisher", "LAMP"])
@pytest.mark.parametrize("config", [{"wrong": 1}, []])
def test_a_config_with_other_keys_is_refused_in_words(name, config):
    written = ours(name, config)
    with pytest.raises(ValueError) as error:
        ksr.criteria.LAMP.from_config({"criterion": written})
    assert str(error.value) == (
        f"`criterion` in a config must have what {name}.get_config writes. Received: {written!r}, "
        f"of which no {name} can be made"
    )


@keras.saving.register_keras_serializable(package="tests_of_configs")
class Changing(ksr.schedules.Schedule):
    """Gives something else than a schedule."""

    @classmethod
    def from_config(cls, config):
        return ksr.manifolds.Torus()


def test_what_comes_out_of_a_config_must_be_of_the_kind_too():
    written = ours("Changing", {}, registered_name="tests_of_configs>Changing")
    with pytest.raises(ValueError) as error:
        BlockPruning.from_config({"schedule": written})
    assert str(error.value) == (
        f"`schedule` in a config must stand for a Schedule. Received: {written!r}, of which a "
        "Torus was made"
    )


@pytest.mark.parametrize(
    "schedule",
    [[["rnn"]], [[["rnn", "gru"], 0.5]], ["rnn"], [[{"type": {"module": "evil"}}, 0.5]]],
)
def test_a_mapping_of_schedules_that_is_none_is_refused_in_words(schedule):
    config = {**ksr.callbacks.BlockPruning(0.5).get_config(), "schedule": schedule}
    with pytest.raises(ValueError, match="in a config must be"):
        ksr.callbacks.BlockPruning.from_config(config)
