"""Which blocks BlockPruning prunes, and at which steps."""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.patterns import Block
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

layers = keras.layers
STILL = 0.0  # a learning rate at which weights change by nothing but pruning


@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3), ("simple_rnn", 1)])
def test_each_gate_reaches_the_sparsity_in_blocks(kind, gates, make_model, data, assert_sparse):
    model = make_model(kind)
    pruning = BlockPruning(PolynomialDecay(0.0, 0.8, 2, 8), (4, 3), frequency=2)
    fit(model, data, pruning, epochs=2)
    for variable in kernels(model):
        live = assert_sparse(variable, (4, 3), gates, 0.8)
        np.testing.assert_array_equal(live, pruning.masks[f"rnn/{kind}_cell/{variable.name}"])
    assert np.count_nonzero(model.get_layer("head").kernel.numpy() == 0) == 0
    assert pruning.sparsity == pytest.approx(0.8, abs=0.06)


def lowest(scores, elements, sparsity):
    """By brute force: the blocks that live when the lowest are dropped one by one."""
    live = np.ones(scores.size, bool)
    for number in np.argsort(scores.ravel(), kind="stable"):
        if sparsity * elements.sum() - elements.ravel()[~live].sum() <= elements.max() / 2:
            break
        live[number] = False
    return live.reshape(scores.shape)


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
@pytest.mark.parametrize("scope", ["gate", "kernel", "model"])
@pytest.mark.parametrize("criterion", ["max", "mean", "l2"])
@pytest.mark.quick_cases(4)
def test_the_lowest_blocks_by_criterion_and_scope_go(criterion, scope, make_model, data, grid_of):
    model = make_model("gru", optimizer=keras.optimizers.SGD(STILL))
    scale = np.repeat([1.0, 0.6, 0.3], 11)  # so that the gates differ, and scopes with them
    for variable, factor in zip(kernels(model), (1.0, 0.5)):
        variable.assign(np.random.default_rng(5).normal(size=variable.shape) * scale * factor)
    before = [np.array(v.numpy()) for v in kernels(model)]
    grids = [grid_of(v, (4, 3), 3) for v in kernels(model)]
    scores = [Block((4, 3), criterion).scores(grid, w) for grid, w in zip(grids, before)]

    pruning = BlockPruning(Constant(0.6, 1), (4, 3), criterion=criterion, scope=scope)
    fit(model, data, pruning)

    if scope == "gate":
        expected = [
            np.stack([lowest(*part, 0.6) for part in zip(s, g.elements)])
            for s, g in zip(scores, grids)
        ]
    elif scope == "kernel":
        expected = [lowest(s, g.elements, 0.6) for s, g in zip(scores, grids)]
    else:
        pooled = lowest(
            *(
                np.concatenate([a.ravel() for a in arrays])
                for arrays in (scores, [g.elements for g in grids])
            ),
            0.6,
        )
        expected = [
            pooled[: scores[0].size].reshape(scores[0].shape),
            pooled[scores[0].size :].reshape(scores[1].shape),
        ]
    for variable, weights, grid, live in zip(kernels(model), before, grids, expected):
        np.testing.assert_array_equal(variable.numpy(), weights * grid.expand(live))


def test_equal_weights_are_pruned_to_the_sparsity(make_model, data, assert_sparse):
    model = make_model("lstm", optimizer=keras.optimizers.SGD(STILL))
    for variable in kernels(model):
        variable.assign(np.full(variable.shape, 0.25))
    fit(model, data, BlockPruning(Constant(0.7, 1), (3, 2)))
    for variable in kernels(model):
        assert_sparse(variable, (3, 2), 4, 0.7)


@pytest.mark.filterwarnings("ignore:Pruning stops at the last block")
@pytest.mark.parametrize("sparsity", [0.0, 0.99, 0.9999])
def test_the_ends_of_the_range(sparsity, make_model, data, assert_sparse):
    model = make_model("gru")
    fit(model, data, BlockPruning(Constant(sparsity, 2), (2, 2)))
    for variable in kernels(model):
        assert_sparse(variable, (2, 2), 3, sparsity)


def test_the_diagonal_is_kept_and_counts(make_model, data, assert_sparse):
    model = make_model("gru", optimizer=keras.optimizers.SGD(0.05))
    fit(model, data, BlockPruning(Constant(0.7, 1), (2, 2), keep_diagonal=True))
    live = assert_sparse(kernels(model)[1], (2, 2), 3, 0.7)
    assert live[:, range(6), range(6)].all()
    fresh = make_model("gru")
    fit(fresh, data, BlockPruning(Constant(0.7, 1), (2, 2)))
    assert not assert_sparse(kernels(fresh)[1], (2, 2), 3, 0.7)[:, range(6), range(6)].all()


def test_pruned_blocks_stay_zero_while_the_others_learn(make_model, data):
    model = make_model("lstm", optimizer=keras.optimizers.Adam(0.05, weight_decay=0.1))
    pruning = BlockPruning(Constant(0.5, 1), (3, 3))
    seen = []

    def note(batch, logs):
        seen.append(np.array(kernels(model)[1].numpy()))

    fit(model, data, pruning, keras.callbacks.LambdaCallback(on_train_batch_end=note), epochs=2)
    for earlier, later in zip(seen, seen[1:]):
        np.testing.assert_array_equal(later == 0, earlier == 0)
        assert (later != earlier)[later != 0].all()


def test_masks_are_taken_once_in_every_window(make_model, data):
    model = make_model()
    pruning = BlockPruning(PolynomialDecay(0.1, 0.9, 3, 16), (1, 1), frequency=5)
    history = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: history.append(logs["sparsity"])
    )
    fit(model, data, pruning, watch, epochs=4)
    asked = [
        0.0 if step < 3 else pruning.schedule(16 if step >= 16 else 3 + (step - 3) // 5 * 5)
        for step in range(1, 21)
    ]
    np.testing.assert_allclose(history, asked, atol=0.005)


def test_a_schedule_that_begins_at_zero_prunes_before_the_first_step(make_model, data):
    model = make_model(optimizer=keras.optimizers.SGD(STILL))
    before = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: before.append(
            np.mean(kernels(model)[1].numpy() == 0)
        )
    )
    fit(model, data, BlockPruning(Constant(0.5, 0), (1, 1)), look)
    assert before[0] == pytest.approx(0.5, abs=0.01)


def test_a_threshold_ramp_keeps_blocks_whose_largest_weight_reaches_it(make_model, data, grid_of):
    model = make_model("gru", optimizer=keras.optimizers.SGD(STILL))
    before = [np.array(v.numpy()) for v in kernels(model)]
    slopes = {"rnn/gru_cell/kernel": [0.04, 0.05, 0.055], "rnn/gru_cell/recurrent_kernel": 0.06}
    ramp = ThresholdRamp(1, 3, 5, slopes, slopes, frequency=1)
    fit(model, data, BlockPruning(ramp, (2, 3)), epochs=2)
    for weights, variable, eps in zip(before, kernels(model), ramp(5).values()):
        grid = grid_of(variable, (2, 3), 3)
        live = np.abs(grid.split(weights)).max(axis=(3, 4)) >= np.reshape(eps, (-1, 1, 1))
        assert 0.1 < live.mean() < 0.9
        np.testing.assert_array_equal(variable.numpy(), weights * grid.expand(live))


def test_a_ramp_from_the_dense_model_comes_near_its_sparsity(make_model, data):
    model = make_model("lstm", units=24)
    fit(model, data, epochs=1)
    ramp = ThresholdRamp.from_dense(model, 1, 400, 900, block_shape=(1, 1), sparsity=0.7)
    other = make_model("lstm", units=24, optimizer=keras.optimizers.SGD(STILL))
    for source, target in zip(model.weights, other.weights):
        target.assign(source)
    other.optimizer.iterations.assign(897)  # so that the ramp ends at the third step
    pruning = BlockPruning(ramp, (1, 1))
    fit(other, data, pruning)
    for live in pruning.masks.values():
        np.testing.assert_allclose(
            1 - live.mean(axis=(1, 2)), 0.7, atol=0.02
        )  # each gate by its own slopes


def test_input_kernels_with_fewer_rows_than_a_block_have_partial_blocks(
    make_model, data, assert_sparse
):
    model = make_model("lstm", units=16)
    fit(model, data, BlockPruning(Constant(0.75, 1), (8, 4)))
    assert_sparse(kernels(model)[0], (8, 4), 4, 0.75)


@pytest.mark.parametrize(
    "schedule",
    [
        PolynomialDecay(0.1, 0.9, 1, 5),
        {"rnn": Constant(0.5, 1), layers.Dense: ThresholdRamp(1, 2, 3, 0.1, 0.2)},
    ],
)
def test_the_configuration_is_saved_and_loaded(schedule):
    made = None if isinstance(schedule, dict) else ["rnn", layers.LSTM]
    pruning = BlockPruning(
        schedule,
        (2, 3),
        frequency=7,
        criterion="mean",
        scope="kernel",
        keep_diagonal=True,
        layers=made,
    )
    if isinstance(schedule, dict):
        assert list(BlockPruning.from_config(pruning.get_config()).schedule) == [
            "rnn",
            layers.Dense,
        ]
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(pruning))
    assert isinstance(loaded, BlockPruning) and loaded.get_config() == pruning.get_config()
    assert loaded.block_shape == (2, 3) and loaded.layers == made and loaded.frequency == 7
    with pytest.raises(ValueError, match="A predicate cannot be written into a config"):
        BlockPruning(Constant(0.5, 1), layers=lambda layer: True).get_config()
