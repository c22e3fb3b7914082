"""Which blocks BlockPruning prunes, in which layers and at which steps."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.patterns import Block
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

layers = keras.layers
STILL = 0.0  # a learning rate at which weights change by nothing but pruning


def fit(model, data, *callbacks, epochs=1, **arguments):
    return model.fit(
        *data, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


def kernels(model):
    cell = model.get_layer("rnn").cell
    return cell.kernel, cell.recurrent_kernel


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


def deep():
    """Every way in which layers are put into layers."""
    inputs = keras.Input((3, 5))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True, name="l"), name="both")(inputs)
    inner = keras.Sequential(
        [keras.Input((3, 12)), layers.GRU(5, return_sequences=True, name="inner_gru")], name="inner"
    )
    x = layers.RNN(
        [layers.SimpleRNNCell(5, name="first"), layers.GRUCell(4, name="second")],
        return_sequences=True,
        name="stack",
    )(inner(x))
    x = layers.TimeDistributed(layers.Dense(6, name="d"), name="each")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def test_layers_are_pruned_wherever_they_are(data, assert_sparse):
    model = deep()
    x = np.random.default_rng(0).normal(size=(16, 3, 5)).astype("float32")
    model.compile("adam", "mse", run_eagerly=True)
    layers_before, names = list(model._flatten_layers()), [v.path for v in model.weights]
    pruning = BlockPruning(
        PolynomialDecay(0.0, 0.75, 1, 4), (2, 2), frequency=1, layers=[layers.RNN, "each"]
    )
    fit(model, (x, data[1][:16]), pruning, epochs=3)
    assert len(pruning.masks) == 11
    for _, kernel in pruning.named_kernels():
        assert_sparse(kernel.kernel.variable, (2, 2), kernel.grid.gates, 0.75)
    assert np.count_nonzero(model.get_layer("out").kernel.numpy() == 0) == 0
    assert (
        all(a is b for a, b in zip(model._flatten_layers(), layers_before))
        and [v.path for v in model.weights] == names
    )


class Held(keras.Model):
    """A subclassed model with its layers in a list."""

    def __init__(self):
        super().__init__()
        self.several = [layers.LSTM(6, return_sequences=True), layers.LSTM(7)]
        self.out = layers.Dense(2)

    def call(self, x):
        return self.out(self.several[1](self.several[0](x)))


def test_subclassed_models_are_pruned(data, assert_sparse):
    model = Held()
    model(data[0][:1])
    model.compile("adam", "mse", run_eagerly=True)
    fit(model, data, BlockPruning(Constant(0.5, 2), (2, 3)))
    for layer in model.several:
        assert_sparse(layer.cell.recurrent_kernel, (2, 3), 4, 0.5)


def two_layers():
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(6, return_sequences=True, name="low"),
            layers.GRU(8, name="high"),
            layers.Dense(2, name="head"),
        ]
    )
    model.compile("adam", "mse", run_eagerly=True)
    return model


def recurrent(model, name):
    return model.get_layer(name).cell.recurrent_kernel


def test_layers_follow_schedules_of_their_own(data, assert_sparse):
    model = two_layers()
    pruning = BlockPruning(
        {"low": Constant(0.25, 1), layers.GRU: Constant(0.75, 2), "head": Constant(0.5, 1)}, (2, 2)
    )
    fit(model, data, pruning)
    assert_sparse(recurrent(model, "low"), (2, 2), 3, 0.25)  # the first selector that matches
    assert_sparse(recurrent(model, "high"), (2, 2), 3, 0.75)
    assert_sparse(model.get_layer("head").kernel, (2, 2), 1, 0.5)


def test_several_callbacks_prune_different_layers(data, assert_sparse):
    model = two_layers()
    low = BlockPruning(Constant(0.25, 1), (3, 2), layers="low")
    high = BlockPruning(PolynomialDecay(0, 0.75, 1, 4), (2, 4), frequency=1, layers="high")
    history = fit(model, data, low, high).history
    assert_sparse(recurrent(model, "low"), (3, 2), 3, 0.25)
    assert_sparse(recurrent(model, "high"), (2, 4), 3, 0.75)
    sizes = [sum(live.size for live in one.masks.values()) for one in (low, high)]
    assert min(low.sparsity, high.sparsity) < history["sparsity"][-1] < max(
        low.sparsity, high.sparsity
    ) and all(sizes)
    assert (
        recurrent(model, "low").constraint is None and recurrent(model, "high").constraint is None
    )


def test_two_callbacks_must_not_prune_the_same_layer(data):
    model = two_layers()
    second = {layers.Dense: Constant(0.2, 1), "l*": Constant(0.2, 1)}
    with pytest.raises(ValueError) as error:
        fit(
            model,
            data,
            BlockPruning(Constant(0.2, 1), (2, 2), layers="low"),
            BlockPruning(second, (2, 2)),
        )
    assert str(error.value) == (
        "`layers` of the BlockPruning callbacks of one training must not overlap, but two of them "
        f"prune low/gru_cell/kernel. Received: layers='low' and schedule of [{layers.Dense!r}, "
        "'l*']"
    )


def test_input_kernels_with_fewer_rows_than_a_block_have_partial_blocks(
    make_model, data, assert_sparse
):
    model = make_model("lstm", units=16)
    fit(model, data, BlockPruning(Constant(0.75, 1), (8, 4)))
    assert_sparse(kernels(model)[0], (8, 4), 4, 0.75)


def test_frozen_layers_are_named_and_left_alone(data):
    model = two_layers()
    model.get_layer("low").trainable = False
    model.compile("adam", "mse", run_eagerly=True)
    with pytest.warns(
        UserWarning, match=r"frozen \(trainable=False\) and are not pruned: low/gru_cell$"
    ):
        fit(model, data, BlockPruning(Constant(0.5, 1), (2, 2)))
    assert (recurrent(model, "low").numpy() != 0).all() and (
        recurrent(model, "high").numpy() == 0
    ).any()


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
