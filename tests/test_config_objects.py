"""An object in a config is of the class that is asked for, and a function is one that is known."""

import keras
import pytest
from written_configs import HALF, beyond_three, ours

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth, StrengthSchedule
from keras_sparse_rnn.regularizers import Moduli

TORUS = keras.saving.serialize_keras_object(ksr.manifolds.Torus())
FUNCTION = {"class_name": "function", "registered_name": "function"}
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


def test_regrowth_of_a_callback_is_loaded():
    config = {"schedule": HALF, "regrowth": keras.saving.serialize_keras_object(Regrowth(0.2))}
    assert BlockPruning.from_config(config).regrowth.fraction == 0.2


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
