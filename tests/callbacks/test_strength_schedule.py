"""Strengths follow a function of the step, exactly, and are what they were when training is over,
however it ends.
"""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.constraints import ProximalGroupLasso
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import Constant, PiecewiseLinear, PolynomialDecay, ThresholdRamp


class Record(keras.callbacks.Callback):
    """Notes the strength that each step has had, and stops or interrupts at the batch it is
    told.
    """

    def __init__(self, lasso, interrupt=None):
        super().__init__()
        self.lasso, self.interrupt, self.strengths = lasso, interrupt, []

    def on_train_batch_end(self, batch, logs=None):
        self.strengths.append(float(self.lasso.strength.numpy()))
        if batch == self.interrupt:
            raise KeyboardInterrupt


def regularize(model, lasso):
    for kernel in kernels(model):
        kernel.regularizer = lasso
    return model


@pytest.fixture
def lasso():
    return GroupLasso(0.5, (3, 2))


@pytest.mark.parametrize(
    "until",
    [3, Constant(0.5, 3), PolynomialDecay(0.0, 0.5, 1, 3), ThresholdRamp(1, 2, 3, 1e-3, 1e-3)],
    ids=repr,
)
def test_it_ends_exactly_at_the_step(until, lasso, make_model, data):
    record = Record(lasso)
    history = fit(
        regularize(make_model("gru"), lasso), data, StrengthSchedule(until=until), record
    ).history
    assert record.strengths == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert float(lasso.strength.numpy()) == 0.5
    assert history["strength_factor"] == [0.0]


def test_a_compiled_step_is_traced_once(lasso, make_model, data):
    model = make_model("gru", run_eagerly=False)
    traces = []
    loss = lambda y, y_pred: traces.append(1) or 0.0 * y_pred
    model.compile(keras.optimizers.SGD(0.01), loss)
    regularize(model, lasso)
    fit(model, data)
    count = len(traces)
    losses = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )
    model.optimizer.iterations.assign(0)
    record = Record(lasso)
    fit(model, data, StrengthSchedule(PiecewiseLinear([(1, 1.0), (3, 0.0)])), look, record)
    assert record.strengths == [0.5, 0.5, 0.25, 0.0, 0.0]
    assert losses[0] > 0.1 and len(traces) == count  # not even in the fit with the callback
    fit(model, data)
    assert len(traces) == count


def test_several_steps_in_one_execution(lasso, make_model, data):
    model = regularize(make_model("gru", run_eagerly=False, steps_per_execution=2), lasso)
    record = Record(lasso)
    fit(model, data, StrengthSchedule(until=3), record)
    assert record.strengths == [0.5, 0.5, 0.0]  # set before steps 0, 2 and 4


def test_a_second_fit_and_a_loaded_model_go_on(lasso, make_model, data, tmp_path):
    model, record = regularize(make_model("gru"), lasso), Record(lasso)
    schedule = StrengthSchedule(PiecewiseLinear([(0, 0.0), (10, 1.0)]))
    fit(model, data, schedule, record)
    assert float(lasso.strength.numpy()) == 0.5
    fit(model, data, schedule, record)
    np.testing.assert_allclose(record.strengths, 0.05 * np.arange(10))


@pytest.mark.parametrize(
    "again, pruned",
    [
        ("same", True),
        ("another", False),
        ("none", True),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("same", False), ("another", True), ("none", False))
        ),
    ],
)
def test_a_training_that_breaks_off_leaves_no_trace(again, pruned, lasso, make_model, data):
    model, schedule = regularize(make_model("gru"), lasso), StrengthSchedule(Constant(0.5, 0))
    pruning = [BlockPruning(Constant(0.5, 2), (3, 2))] if pruned else []
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, schedule, *pruning, Record(lasso, interrupt=2))
    assert float(lasso.strength.numpy()) == 0.25  # no hook is called when another callback raises
    record = Record(lasso)
    callbacks = {"same": [schedule], "another": [StrengthSchedule(Constant(0.5, 0))], "none": []}[
        again
    ]
    fit(model, data, *callbacks, record)
    assert record.strengths == [0.25 if callbacks else 0.5] * 5
    assert float(lasso.strength.numpy()) == 0.5


def test_an_error_in_the_step_leaves_no_trace(lasso, make_model, data):
    model = regularize(make_model("gru"), lasso)
    model.compute_loss = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(model, data, StrengthSchedule(Constant(0.5, 0)))
    assert float(lasso.strength.numpy()) == 0.5


@pytest.mark.parametrize("pruning_first", [True, False])
@pytest.mark.quick_cases
def test_group_lasso_while_pruning_makes_dropped_blocks_small(
    pruning_first, make_model, data, assert_sparse
):
    """GLP: at the mask there is less in the blocks that go, and none of the penalty is left after
    it.
    """
    dropped = {}
    for strength in (0.0, 0.4):
        keras.utils.set_random_seed(5)
        lasso = GroupLasso(strength, (3, 2))
        model = regularize(make_model("gru", run_eagerly=pruning_first), lasso)
        schedule = Constant(0.5, 8)
        pruning, strengths, record = (
            BlockPruning(schedule, (3, 2)),
            StrengthSchedule(until=schedule),
            Record(lasso),
        )

        class Mass(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                if int(self.model.optimizer.iterations.numpy()) == 7:
                    kernel = kernels(self.model)[1].numpy()
                    grid = BlockGrid(11, 11, 3, (3, 2))
                    norms = np.sqrt((grid.split(kernel) ** 2).sum(axis=(3, 4)))
                    dropped[strength] = (
                        np.sort(norms.ravel())[: norms.size // 2].sum() / norms.sum()
                    )

        callbacks = [pruning, strengths] if pruning_first else [strengths, pruning]
        history = fit(model, data, *callbacks, Mass(), record, epochs=2).history
        assert record.strengths == [strength] * 8 + [0.0] * 2
        assert_sparse(kernels(model)[1], (3, 2), 3, 0.5)
        assert history["sparsity"][-1] == pytest.approx(0.5, abs=0.02) and history[
            "strength_factor"
        ] == [1.0, 0.0]
        assert kernels(model)[1].constraint is None and float(lasso.strength.numpy()) == strength
    assert dropped[0.4] < 0.6 * dropped[0.0]


def test_it_finds_strengths_inside_other_objects(make_model, data):
    class Both(keras.regularizers.Regularizer):
        def __init__(self, first, second):
            self.first, self.second = first, second

        def __call__(self, kernel):
            return self.first(kernel) + self.second(kernel)

    lassos = GroupLasso(0.5, (3, 2)), GroupLasso(0.25, (1, 1)), ProximalGroupLasso(0.125, (3, 2))
    model = make_model("gru")
    kernels(model)[0].regularizer, kernels(model)[1].constraint = Both(*lassos[:2]), lassos[2]
    schedule = StrengthSchedule(until=2)
    records = [Record(lasso) for lasso in lassos]
    fit(model, data, schedule, BlockPruning(Constant(0.5, 2), (3, 2)), *records)
    for record, strength in zip(records, (0.5, 0.25, 0.125)):
        assert record.strengths == [strength] * 2 + [0.0] * 3
        assert float(record.lasso.strength.numpy()) == strength


def test_a_loop_of_ones_own(lasso, make_model, data):
    model, schedule, strengths = regularize(make_model("gru"), lasso), StrengthSchedule(until=2), []
    schedule.set_model(model)
    schedule.on_train_begin()
    for _ in range(3):
        model.train_on_batch(data[0][:8], data[1][:8])
        strengths.append(float(lasso.strength.numpy()))
    schedule.on_train_end()
    assert strengths == [0.5, 0.5, 0.0] and float(lasso.strength.numpy()) == 0.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"until": 5},
        {"until": PolynomialDecay(0.0, 0.5, 1, 3)},
        {"schedule": PiecewiseLinear([(3, 1), (4, 0)])},
    ],
    ids=repr,
)
def test_config(options):
    schedule = StrengthSchedule(**options)
    again = StrengthSchedule.from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    assert [again.factor_at(step) for step in range(6)] == [
        schedule.factor_at(step) for step in range(6)
    ]


def test_an_optimizer_cannot_be_written_into_a_config():
    with pytest.raises(ValueError, match="The `optimizer` of StrengthSchedule cannot be written"):
        StrengthSchedule(until=5, optimizer=keras.optimizers.Adam()).get_config()


def test_errors(lasso, make_model, data):
    with pytest.raises(
        ValueError,
        match=(
            r"`schedule` or `until` must be None: each says what the factor is\. "
            r"Received: schedule=Constant\("
        ),
    ):
        StrengthSchedule(Constant(0.5, 1), until=3)
    with pytest.raises(
        ValueError, match=r"`until` must be an integer of at least 0\. Received: until=-1"
    ):
        StrengthSchedule(until=-1)
    with pytest.raises(
        ValueError,
        match=(
            r"`until` must be a schedule of keras_sparse_rnn\.schedules or a tfmot "
            r"PruningSchedule\. Received: until='x'"
        ),
    ):
        StrengthSchedule(until="x")
    with pytest.raises(
        ValueError,
        match=(
            r"`schedule` must be one whose value is a factor, which a "
            r"ThresholdRamp's is not\. Received: schedule=Thres"
        ),
    ):
        StrengthSchedule(ThresholdRamp(1, 2, 3, 1e-3, 1e-3))
    with pytest.raises(
        ValueError,
        match=(
            r"The model must have a regularizer or a constraint with a "
            r"`strength`.*Received: the model 'sequential"
        ),
    ):
        fit(make_model(), data, StrengthSchedule())
    with pytest.raises(
        ValueError, match=r"Only one StrengthSchedule may take part in a training\. Received: two"
    ):
        fit(regularize(make_model(), lasso), data, StrengthSchedule(until=3), StrengthSchedule())
    schedule = StrengthSchedule()
    schedule.set_model(keras.Sequential([keras.Input((2, 5)), keras.layers.GRU(3)]))
    with pytest.raises(
        ValueError,
        match=(
            r"The model must be compiled before strengths are scheduled, or the callback be given "
            r"the `optimizer` of a loop of your own: the schedule counts its steps\. Received: "
            r"optimizer=None and a model that is not compiled"
        ),
    ):
        schedule.on_train_begin()
