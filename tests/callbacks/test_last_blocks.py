"""No gate or kernel loses its last block, whatever the sparsity that is asked for."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

# 5 x 11 in blocks of (5, 4): three blocks for each gate of the input kernel.
FEW, HIGH = (5, 4), 0.9


def fit(model, data, *callbacks, epochs=1):
    return model.fit(*data, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))


def masks(pruning):
    return [pruning.masks[f"rnn/gru_cell/{role}"] for role in ("kernel", "recurrent_kernel")]


def test_each_gate_keeps_its_largest_block_and_says_so_once(make_model, data):
    model = make_model("gru", optimizer=keras.optimizers.SGD(0.0))
    weights = model.get_layer("rnn").cell.kernel
    weights.assign(weights * np.tile(np.arange(11) < 8, 3))  # so that the partial blocks go first
    before = np.array(weights.numpy())
    pruning = BlockPruning(PolynomialDecay(0.5, HIGH, 1, 4), FEW, frequency=1)
    with pytest.warns(UserWarning) as caught:
        fit(model, data, pruning)
    assert [str(one.message) for one in caught] == [
        "Pruning stops at the last block of a gate, which would be all zero without it: "
        "rnn/gru_cell/kernel should be 0.8852 sparse and is 0.6364 sparse (each gate has 3 "
        "blocks). Use smaller blocks than (5, 4), scope='kernel' or 'model', less sparsity for "
        "this layer, or leave it out with `layers`."
    ]
    kernel = pruning.named_kernels()[0][1]
    scores = np.abs(kernel.grid.split(before)).max(axis=(3, 4))
    np.testing.assert_array_equal(
        masks(pruning)[0], scores == scores.max(axis=(1, 2), keepdims=True)
    )


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
@pytest.mark.parametrize(("scope", "live"), [("kernel", [1, 1]), ("model", [1, 1])])
def test_each_kernel_keeps_a_block_under_the_other_scopes(scope, live, make_model, data):
    pruning = BlockPruning(Constant(0.995, 1), (5, 5), scope=scope)
    with pytest.warns(
        UserWarning, match="Pruning stops at the last block of a kernel.*rnn/gru_cell/kernel"
    ):
        fit(make_model("gru"), data, pruning)
    assert [np.count_nonzero(mask) for mask in masks(pruning)] == live


def test_a_small_kernel_is_not_emptied_for_the_sake_of_the_model(make_model, data):
    model = make_model("gru", optimizer=keras.optimizers.SGD(0.0))
    kernel = model.get_layer("rnn").cell.kernel
    kernel.assign(kernel * 1e-3)
    pruning = BlockPruning(Constant(0.7, 1), FEW, scope="model")
    fit(model, data, pruning)  # in silence: the sparsity is reached
    assert np.count_nonzero(masks(pruning)[0]) == 1
    assert pruning.sparsity == pytest.approx(0.7, abs=0.03)


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
@pytest.mark.parametrize(("scope", "live"), [("gate", [3, 3]), ("kernel", [1, 1])])
def test_a_threshold_above_all_weights_leaves_the_largest_block(scope, live, make_model, data):
    pruning = BlockPruning(ThresholdRamp(1, 2, 4, 50.0, 50.0, frequency=1), FEW, scope=scope)
    with pytest.warns(
        UserWarning, match="rnn/gru_cell/kernel has a (gate|kernel) below its threshold and is"
    ):
        fit(make_model("gru"), data, pruning)
    assert [np.count_nonzero(mask) for mask in masks(pruning)] == live


def test_a_ramp_from_a_dense_model_without_large_weights_leaves_the_last_blocks(make_model, data):
    """The fourth root overshoots there: a sparsity of 0.8 is aimed at, and all but the last blocks
    go.
    """
    model = make_model("gru", units=24)
    ramp = ThresholdRamp.from_dense(model, 1, 2, 4, sparsity=0.8, frequency=1, block_shape=(8, 8))
    pruning = BlockPruning(ramp, (8, 8))
    with pytest.warns(
        UserWarning, match="Pruning stops at the last block of a gate.*smaller slopes"
    ):
        fit(model, data, pruning)
    for live in masks(pruning):
        assert (live.sum(axis=(1, 2)) >= 1).all()
    assert (masks(pruning)[0].sum(axis=(1, 2)) == 1).all()


@pytest.mark.filterwarnings("ignore:Pruning stops at the last block")
@pytest.mark.parametrize(
    "schedule", [Constant(HIGH, 1), ThresholdRamp(1, 2, 4, 50.0, 50.0, frequency=1)]
)
def test_a_second_fit_goes_on_with_the_last_blocks(schedule, make_model, data):
    model, pruning = make_model("gru"), BlockPruning(schedule, FEW)
    fit(model, data, pruning)
    before = masks(pruning)
    fit(model, data, pruning)
    for first, second in zip(before, masks(pruning)):
        np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore:Pruning stops at the last block")
def test_one_block_more_than_the_last_is_an_error_at_the_end(make_model, data):
    """The mask is as asked, so the weights of a resumed run that hold one block too many are what
    is wrong.
    """
    model, pruning = make_model("gru"), BlockPruning(Constant(HIGH, 1), FEW)
    pruning.set_model(model)
    pruning.on_train_begin()
    pruning.on_train_batch_begin(0)
    fit_one = model.train_on_batch(data[0][:8], data[1][:8])
    pruning.on_train_batch_end(0)
    assert np.isfinite(fit_one)
    (group,) = pruning._groups
    assert group.shortfalls() == []
    kernel = group.masks[0]
    mask = kernel.live.copy()
    mask[0] = np.eye(3, 1, k=-int(np.argmin(mask[0])), dtype=bool) | mask[0]
    kernel.live = mask
    weights = kernel.kernel.variable
    weights.assign(np.where(kernel.grid.expand(mask), 0.5, weights.numpy()))
    assert (
        group.shortfalls() and "gate z, should have a sparsity of 0.9000" in group.shortfalls()[0]
    )
    pruning.leave()
