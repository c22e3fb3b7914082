"""Scores relative to what of the same gate, or kernel, is not below them."""

import numpy as np
import pytest

from keras_sparse_rnn import criteria
from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.criteria import LAMP, Criterion
from keras_sparse_rnn.schedules import Constant
from keras_sparse_rnn.selection import find_kernels

SHAPE = (3, 2)


def scores(criterion, model):
    kernel = find_kernels(model)[1]
    return criterion.block_scores(kernel, kernel.grid(SHAPE), model)


@pytest.mark.parametrize("over", ["gate", "kernel"])
@pytest.mark.parametrize(
    "inner", ["l2", "mean", criteria.Magnitude("max")], ids=["l2", "mean", "max"]
)
def test_a_score_is_divided_by_those_not_below_it(inner, over, make_model):
    model = make_model()
    plain, found = scores(criteria.get(inner), model), scores(LAMP(inner, over), model)
    for g, c, r in np.ndindex(*plain.shape):
        rivals = plain[g] if over == "gate" else plain
        assert found[g, c, r] == pytest.approx(
            plain[g, c, r] / rivals[rivals >= plain[g, c, r]].sum()
        )
    np.testing.assert_allclose(found.max(axis=(1, 2))[plain.max(axis=(1, 2)).argmax()], 1.0)


def test_dead_blocks_score_nothing(make_model):
    model = make_model()
    kernel = find_kernels(model)[1]
    kernel.variable.assign(np.where(np.arange(21) < 10, kernel.numpy(), 0))
    found = scores(LAMP(), model)
    assert np.isfinite(found).all() and (found[2] == 0).all() and found[0].max() == 1


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
def test_a_gate_of_small_weights_is_not_starved(make_model, data):
    """At the same total: the plain criterion leaves a hundredth of a gate's weights one block, the
    relative one its share.
    """
    live = {}
    for name, criterion in (("plain", "l2"), ("relative", LAMP("l2"))):
        model = make_model("sgd")
        model.optimizer.learning_rate.assign(0.0)
        for kernel in find_kernels(model):
            kernel.variable.assign(
                np.random.default_rng(2).normal(size=kernel.variable.shape)
                * np.repeat([1, 1, 0.01], 7)
            )
        pruning = BlockPruning(Constant(0.5, 1), SHAPE, criterion=criterion, scope="model")
        model.fit(*data, batch_size=8, verbose=0, callbacks=[pruning])
        assert pruning.sparsity == pytest.approx(0.5, abs=0.05)
        live[name] = pruning.masks["rnn/gru_cell/recurrent_kernel"].mean(axis=(1, 2))
    assert live["plain"][2] < 0.1 and live["relative"].min() > 0.25


def test_it_passes_on_what_it_is_told(make_model):
    class Diary(Criterion):
        def __init__(self):
            self.told = []

        def begin(self, model):
            self.told.append("begin")

        def prepare(self, kernels, model):
            self.told.append("prepare")

        def end(self, model):
            self.told.append("end")

    diary, model = Diary(), make_model()
    lamp = LAMP(diary)
    lamp.begin(model)
    lamp.prepare([], model)
    lamp.end(model)
    assert diary.told == ["begin", "prepare", "end"]


@pytest.mark.parametrize("inner", ["l2", "fisher"])
def test_it_is_saved_with_what_it_divides(inner):
    pruning = BlockPruning(Constant(0.5, 1), criterion=LAMP(inner, over="kernel"))
    again = BlockPruning.from_config(pruning.get_config()).criterion
    assert type(again.criterion) is type(inner) and again.over == "kernel"


def test_what_it_refuses(make_model):
    with pytest.raises(
        ValueError, match="`over` must be one of 'gate', 'kernel'. Received: over='model'"
    ):
        LAMP(over="model")
    with pytest.raises(
        ValueError, match="`criterion` must be one of 'max', 'mean', 'l2', 'fisher', or a Criterion"
    ):
        LAMP("median")

    class Negative(Criterion):
        def block_scores(self, kernel, grid, model):
            return -np.ones(grid.shape)

    with pytest.raises(
        ValueError,
        match="`criterion` of LAMP must give scores of at least 0. Received: -1.0 from Negative",
    ):
        scores(LAMP(Negative()), make_model())
