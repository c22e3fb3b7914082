"""A criterion of one's own decides which blocks of `BlockPruning` live, is told when, and is saved
with the callback.
"""

import keras
import numpy as np
import pytest

from keras_sparse_rnn import criteria
from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.patterns import Block, BlockGrid
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp
from keras_sparse_rnn.selection import find_kernels

SHAPE = (3, 2)


@keras.saving.register_keras_serializable(package="tests_of_criteria")
class ByNumber(criteria.Criterion):
    """Later blocks are worth more; keeps a diary."""

    def __init__(self, sign=1.0):
        self.sign, self.diary = sign, []

    def begin(self, model):
        self.diary.append("begin")

    def prepare(self, kernels, model):
        self.diary.append([kernel.role for kernel, _ in kernels])

    def block_scores(self, kernel, grid, model):
        self.diary.append(kernel.role)
        return self.sign * np.arange(grid.count).reshape(grid.shape)

    def end(self, model):
        self.diary.append("end")

    def get_config(self):
        return {"sign": self.sign}


class Wrong(criteria.Criterion):
    def __init__(self, answer):
        self.answer = answer

    def block_scores(self, kernel, grid, model):
        return self.answer(grid)


def fit(model, data, *callbacks):
    return model.fit(*data, batch_size=8, verbose=0, callbacks=list(callbacks))


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_blocks_of_the_lowest_scores_go(sign, make_model, data):
    pruning = BlockPruning(Constant(0.5, 1), SHAPE, criterion=ByNumber(sign), scope="kernel")
    fit(make_model(), data, pruning)
    for live in pruning.masks.values():
        numbers = np.flatnonzero(live)[:: int(sign)]
        np.testing.assert_array_equal(numbers, np.arange(live.size)[:: int(sign)][-numbers.size :])
    assert pruning.sparsity == pytest.approx(0.5, abs=0.03)


def test_a_criterion_is_told_when_training_begins_and_ends(make_model, data):
    criterion = ByNumber()
    fit(
        make_model(),
        data,
        BlockPruning(PolynomialDecay(0.2, 0.5, 1, 2), SHAPE, criterion=criterion, frequency=1),
    )
    both = ["kernel", "recurrent_kernel"]
    assert criterion.diary == ["begin", both, *both, both, *both, "end"]


def test_a_criterion_is_told_of_the_end_when_a_mask_cannot_be_taken(make_model, data):
    class Fails(ByNumber):
        def block_scores(self, kernel, grid, model):
            raise ValueError("no idea")

    criterion = Fails()
    with pytest.raises(ValueError, match="No mask can be taken from rnn/gru_cell/kernel. no idea"):
        fit(make_model(), data, BlockPruning(Constant(0.5, 1), SHAPE, criterion=criterion))
    assert criterion.diary[-1] == "end"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda grid: np.zeros(grid.shape[1:]),
            "`criterion` must give a score for each block, (gates, columns, rows) = (3, 4, 2). "
            "Received: scores of shape (4, 2) from Wrong.block_scores",
        ),
        (
            lambda grid: np.where(np.arange(grid.count) < 5, np.nan, 1.0).reshape(grid.shape),
            "`criterion` must give scores that can be ordered. Received: 5 of 24 are NaN, from "
            "Wrong.block_scores",
        ),
    ],
)
def test_scores_that_are_none(answer, message, make_model, data):
    model = make_model()
    before = model.get_layer("rnn").cell.kernel.numpy()
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(Constant(0.5, 1), SHAPE, criterion=Wrong(answer)))
    assert str(error.value) == f"No mask can be taken from rnn/gru_cell/kernel. {message}"
    assert np.count_nonzero(before) == np.count_nonzero(model.get_layer("rnn").cell.kernel.numpy())


def test_a_criterion_without_scores(make_model):
    model = make_model()
    (kernel, _), grid = find_kernels(model), BlockGrid(5, 7, 3, SHAPE)
    with pytest.raises(
        NotImplementedError,
        match=r"Criterion must have a method `block_scores\(kernel, grid, model\)`",
    ):
        criteria.Criterion().block_scores(kernel, grid, model)


@pytest.mark.parametrize("criterion", ["max", "mean", "l2"])
def test_a_name_stands_for_a_magnitude(criterion, make_model):
    model = make_model()
    kernel = find_kernels(model)[0]
    grid = kernel.grid(SHAPE)
    scores = criteria.get(criterion).block_scores(kernel, grid, model)
    np.testing.assert_array_equal(scores, Block(SHAPE, criterion).scores(grid, kernel.numpy()))


def test_a_name_stands_for_the_fisher_scores(make_model, data):
    model = make_model()
    fit(model, data)
    kernel = find_kernels(model)[0]
    grid = kernel.grid(SHAPE)
    scores = criteria.get("fisher").block_scores(kernel, grid, model)
    assert scores.all()
    np.testing.assert_array_equal(scores, criteria.Fisher().block_scores(kernel, grid, model))


@pytest.mark.parametrize(
    "criterion",
    ["l2", "fisher", criteria.Magnitude("mean"), criteria.Fisher(), ByNumber(-1.0)],
    ids=["name", "fisher", "magnitude", "Fisher", "own"],
)
def test_a_callback_is_saved_with_its_criterion(criterion):
    pruning = BlockPruning(Constant(0.5, 2), SHAPE, criterion=criterion)
    again = BlockPruning.from_config(pruning.get_config())
    assert type(again.criterion) is type(criterion)
    assert again.get_config() == pruning.get_config()


def test_a_threshold_is_one_of_the_largest_weight(make_model, data):
    ramp = ThresholdRamp(1, 2, 3, 0.01, 0.01, frequency=1)
    fit(make_model(), data, BlockPruning(ramp, SHAPE, criterion=criteria.Magnitude("max")))
    with pytest.raises(ValueError, match="must be 'max' with a ThresholdRamp.*Fisher object"):
        fit(make_model(), data, BlockPruning(ramp, SHAPE, criterion=criteria.Fisher()))


def test_a_criterion_that_is_none():
    with pytest.raises(ValueError) as error:
        BlockPruning(Constant(0.5, 1), criterion=3)
    assert str(error.value) == (
        "`criterion` must be one of 'max', 'mean', 'l2', 'fisher', or a Criterion of "
        "keras_sparse_rnn.criteria. Received: criterion=3"
    )
