"""Schedules: their figures, when they trigger, what they refuse, and how they are saved."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn import schedules
from keras_sparse_rnn.schedules import (
    Constant,
    PiecewiseLinear,
    PolynomialDecay,
    Schedule,
    TfmotSchedule,
    ThresholdRamp,
)


def test_the_cubic_schedule_has_the_figures_of_its_formula():
    schedule = PolynomialDecay(0.1, 0.9, 1000, 5000)
    assert schedule(0) == schedule(999) == 0.0
    assert schedule(1000) == pytest.approx(0.1)
    assert schedule(2000) == pytest.approx(0.9 - 0.8 * 0.75**3)
    assert schedule(3000) == pytest.approx(0.9 - 0.8 / 8)
    assert schedule(5000) == schedule(10**9) == pytest.approx(0.9)
    assert PolynomialDecay(0.0, 0.8, 0, 100, power=1)(25) == pytest.approx(0.2)


def test_constant_is_there_from_its_first_step():
    schedule = Constant(0.7, 50)
    assert [schedule(step) for step in (0, 49, 50, 51)] == [0.0, 0.0, 0.7, 0.7]


def test_straight_lines_between_points():
    schedule = PiecewiseLinear([(10, 0.25), (20, 1.0), (30, 1.0), (30, 0.5), (35, 0.0)])
    steps = (0, 10, 12, 20, 29, 30, 32, 35, 1000)
    assert [schedule(step) for step in steps] == pytest.approx(
        [0.25, 0.25, 0.4, 1.0, 1.0, 0.5, 0.3, 0.0, 0.0]
    )
    assert (schedule.begin_step, schedule.end_step) == (10, 35)
    assert PiecewiseLinear([(7, 2)])(0) == PiecewiseLinear([(7, 2)])(8) == 2
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config() and [again(step) for step in steps] == [
        schedule(step) for step in steps
    ]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "`points` must be a list of pairs (step, value). Received: points=[]"),
        (
            [(1, 2, 3)],
            "`points` must be a list of pairs (step, value). Received: points=[(1, 2, 3)]",
        ),
        ([(-1, 1.0)], "`points[0][0]` must be an integer of at least 0. Received: points[0][0]=-1"),
        ([(1, -1.0)], "`points[0][1]` must be a number of at least 0. Received: points[0][1]=-1.0"),
        (
            [(5, 1.0), (4, 0.0)],
            "`points[1][0]` must not lie before `points[0][0]`. Received: points[0][0]=5, "
            "points[1][0]=4",
        ),
    ],
)
def test_points_are_checked(points, message):
    with pytest.raises(ValueError) as error:
        PiecewiseLinear(points)
    assert str(error.value) == message


def test_masks_are_due_at_the_beginning_in_every_window_and_at_the_end():
    schedule = PolynomialDecay(0.0, 0.9, 10, 35)
    due = [schedule.last_trigger(step, 10) for step in range(41)]
    assert due == [None] * 10 + [10] * 10 + [20] * 10 + [30] * 5 + [35] * 6
    assert [Constant(0.5, 7).last_trigger(step, 3) for step in (6, 7, 100)] == [None, 7, 7]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: PolynomialDecay(0, 1.0, 0, 9),
            "`final_sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: "
            "final_sparsity=1.0",
        ),
        (
            lambda: PolynomialDecay(-0.1, 0.9, 0, 9),
            "`initial_sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: "
            "initial_sparsity=-0.1",
        ),
        (
            lambda: PolynomialDecay(0, 0.9, 9, 5),
            "`end_step` must lie after `begin_step`. Received: begin_step=9, end_step=5",
        ),
        (
            lambda: PolynomialDecay(0, 0.9, 9, 9),
            "`end_step` must lie after `begin_step`. Received: begin_step=9, end_step=9",
        ),
        (
            lambda: PolynomialDecay(0, 0.9, -1, 9),
            "`begin_step` must be an integer of at least 0. Received: begin_step=-1",
        ),
        (
            lambda: PolynomialDecay(0, 0.9, 0, 9.5),
            "`end_step` must be an integer of at least 0. Received: end_step=9.5",
        ),
        (
            lambda: PolynomialDecay(0, 0.9, 0, 9, power=0),
            "`power` must be a number above 0. Received: power=0",
        ),
        (
            lambda: PolynomialDecay(0.9, 0.5, 0, 9),
            "`final_sparsity` must not be below `initial_sparsity`: pruned blocks do not come back "
            "to life. Received: initial_sparsity=0.9, final_sparsity=0.5",
        ),
        (
            lambda: Constant(1.5, 0),
            "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=1.5",
        ),
        (
            lambda: Constant(0.5, True),
            "`begin_step` must be an integer of at least 0. Received: begin_step=True",
        ),
        (
            lambda: ThresholdRamp(9, 5, 20, 1, 1),
            "`ramp_step` must not lie before `begin_step`. Received: begin_step=9, ramp_step=5",
        ),
        (
            lambda: ThresholdRamp(0, 25, 20, 1, 1),
            "`end_step` must not lie before `ramp_step`. Received: ramp_step=25, end_step=20",
        ),
        (
            lambda: ThresholdRamp(5, 5, 5, 1, 1),
            "`end_step` must lie after `begin_step`. Received: begin_step=5, end_step=5",
        ),
        (
            lambda: ThresholdRamp(0, 5, 9, -1, 1),
            "`start_slope` must be a number of at least 0. Received: start_slope=-1",
        ),
        (
            lambda: ThresholdRamp(0, 5, 9, 1, np.nan),
            "`ramp_slope` must be a number of at least 0. Received: ramp_slope=nan",
        ),
        (
            lambda: ThresholdRamp(0, 5, 9, 1, 1, frequency=0),
            "`frequency` must be an integer of at least 1. Received: frequency=0",
        ),
        (
            lambda: ThresholdRamp(0, 5, 9, {"a": 1}, 1),
            "`start_slope` and `ramp_slope` must both be numbers, or mappings of the same kernels "
            "and gates. Received: start_slope={'a': 1}, ramp_slope=1",
        ),
        (
            lambda: ThresholdRamp.from_dense([np.ones((3, 5))], 0, 5, 9, gates=4),
            "`dense` must be a model or kernels [inputs, gates * units] of gates=4. Received: "
            "'0' of shape (3, 5)",
        ),
        (
            lambda: ThresholdRamp.from_dense([np.ones((3, 5))], 0, 30, 10),
            "`end_step` must not lie before `ramp_step`. Received: ramp_step=30, end_step=10",
        ),
        (
            lambda: ThresholdRamp.from_dense([np.ones((3, 5))], 0, 3.5, 10),
            "`ramp_step` must be an integer of at least 0. Received: ramp_step=3.5",
        ),
        (
            lambda: ThresholdRamp.from_dense([np.ones((3, 5))], 0, 3, 10, frequency=0),
            "`frequency` must be an integer of at least 1. Received: frequency=0",
        ),
        (
            lambda: ThresholdRamp.from_dense(None, 0, 5, 9),
            "`dense` must be a built model, or a list or mapping of at least one kernel [inputs, "
            "gates * units]. Received: dense=None",
        ),
        (
            lambda: ThresholdRamp.from_dense([], 0, 5, 9),
            "`dense` must be a built model, or a list or mapping of at least one kernel [inputs, "
            "gates * units]. Received: dense=[]",
        ),
        (
            lambda: ThresholdRamp.from_dense({"k": [[1.0, np.nan, np.inf]]}, 0, 5, 9),
            "`dense` must have finite weights: its training has diverged. Received: 2 weights of "
            "k that are NaN or infinite",
        ),
        (
            lambda: ThresholdRamp.from_dense([np.eye(4)], 0, 5, 9, sparsity=0.5, scope="model"),
            "`dense` must be a model that has not been pruned: 75% of the weights of a part of the "
            "model are zero, so its slopes would be zero and nothing would be pruned. Received: "
            "sparsity=0.5",
        ),
        (
            lambda: schedules.get(0.9),
            "`schedule` must be a schedule of keras_sparse_rnn.schedules or a tfmot "
            "PruningSchedule. Received: schedule=0.9",
        ),
    ],
)
def test_bad_arguments_are_refused(build, message):
    with pytest.raises(ValueError) as error:
        build()
    assert str(error.value) == message


@pytest.mark.parametrize(
    "schedule",
    [
        PolynomialDecay(0.1, 0.9, 5, 50, power=2),
        Constant(0.5, 3),
        ThresholdRamp(1, 5, 9, 0.25, 0.5, frequency=7),
        ThresholdRamp(1, 5, 9, {"a": [0.1, 0.2], "b": 0.3}, {"a": [0.2, 0.3], "b": 0.4}),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_are_saved_and_loaded(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"] == f"keras_sparse_rnn>{type(schedule).__name__}"
    loaded = keras.saving.deserialize_keras_object(config)
    assert isinstance(loaded, Schedule) and type(loaded) is type(schedule)
    assert [loaded(step) for step in range(60)] == [schedule(step) for step in range(60)]
    assert repr(loaded) == repr(schedule)


@pytest.fixture(scope="module")
def tfmot():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_model_optimization

    return tensorflow_model_optimization.sparsity.keras


def test_schedules_of_tfmot_are_adapted(tfmot):
    theirs = tfmot.PolynomialDecay(0.1, 0.9, begin_step=10, end_step=110, frequency=20)
    adapted, ours = schedules.get(theirs), PolynomialDecay(0.1, 0.9, 10, 110)
    assert isinstance(adapted, TfmotSchedule)
    for step in range(0, 130, 7):
        assert adapted(step) == pytest.approx(ours(step), abs=1e-6)
    # masks are due at exactly the steps at which tfmot prunes, not at those of the callback's own
    # frequency
    due = [step for step in range(130) if adapted.last_trigger(step, 100) == step]
    assert due == [step for step in range(130) if bool(theirs(step)[0])]

    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(adapted))
    assert loaded(60) == adapted(60) and loaded.frequency == 20 and loaded.end_step == 110


def test_a_tfmot_schedule_without_an_end_never_ends(tfmot):
    adapted = schedules.get(tfmot.ConstantSparsity(0.5, begin_step=5, frequency=10))
    assert adapted.end_step is None
    assert [adapted.last_trigger(step, 1) for step in (4, 5, 14, 15, 1004)] == [None, 5, 5, 15, 995]


def test_a_subclass_of_a_tfmot_schedule_is_taken_too(tfmot):
    class Halves(tfmot.PruningSchedule):
        def __call__(self, step):
            return True, 0.5

        def get_config(self):
            return {}

    adapted = schedules.get(Halves())
    assert adapted(3) == 0.5 and adapted.last_trigger(250, 100) == 200


def test_a_tfmot_schedule_of_ones_own_is_saved_once_it_is_registered(tfmot):
    class Halves(tfmot.PruningSchedule):
        def __init__(self, share=0.5):
            self.share = share

        def __call__(self, step):
            return True, self.share

        def get_config(self):
            return {"share": self.share}

    schedule = schedules.get(Halves(0.25))
    with pytest.raises(ValueError) as error:
        schedule.get_config()
    assert str(error.value) == (
        "A PruningSchedule of your own can be written into a config once it is registered with "
        f"keras.saving.register_keras_serializable. Received: {Halves!r}"
    )
    try:
        keras.saving.register_keras_serializable(package="tests_of_schedules")(Halves)
        assert schedule.get_config() == {
            "type": "tests_of_schedules>Halves",
            "config": {"share": 0.25},
        }
        again = TfmotSchedule.from_config(schedule.get_config())
        assert type(again.schedule) is Halves and again(3) == 0.25
    finally:
        del keras.saving.get_custom_objects()["tests_of_schedules>Halves"]
