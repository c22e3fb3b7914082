"""Blocks that come back: which, when, how many, and what they begin with."""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

pytestmark = pytest.mark.filterwarnings("ignore:Pruning is not finished")  # a few steps do here

BLOCK = (3, 2)
HALF = Constant(0.5, 1)
NAMES_OF_LSTM = ("rnn/lstm_cell/kernel", "rnn/lstm_cell/recurrent_kernel")
NAMES = ("rnn/gru_cell/kernel", "rnn/gru_cell/recurrent_kernel")


class History(keras.callbacks.Callback):
    """Masks, weights and Adam's first moments after each step."""

    def __init__(self, pruning):
        super().__init__()
        self.pruning, self.masks, self.weights, self.means = pruning, [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(self.pruning.masks)
        self.weights.append([np.array(v.numpy()) for v in kernels(self.model)])
        means = getattr(self.model.optimizer, "_momentums", None)
        self.means.append(means and [np.array(means[number].numpy()) for number in (0, 1)])


def trained(model, data, regrowth, schedule=HALF, epochs=1, **arguments):
    pruning = BlockPruning(schedule, BLOCK, frequency=2, regrowth=regrowth, **arguments)
    history = History(pruning)
    fit(model, data, pruning, history, epochs=epochs)
    return pruning, history


@pytest.mark.parametrize("scope", ["gate", "kernel", "model"])
def test_the_lowest_make_room_for_those_of_the_largest_gradient(scope, make_model, data, grid_of):
    """By hand, masks at steps 1 (half of all) and 3 (the first exchange)."""
    model = make_model("gru", optimizer=keras.optimizers.Adam(1e-4))
    _, history = trained(model, data, Regrowth(0.6, until=40), criterion="l2", scope=scope)
    before, after, weights, means = (
        history.masks[1],
        history.masks[2],
        history.weights[1],
        history.means[2],
    )
    came_back = 0
    for name, variable, values, mean in zip(NAMES, kernels(model), weights, means):
        grid = grid_of(variable, BLOCK, 3)
        worth = grid.split(mean.astype("float64") ** 2).sum(axis=(3, 4)) / grid.elements
        born, gone = after[name] & ~before[name], before[name] & ~after[name]
        came_back += np.count_nonzero(born)
        parts = range(3) if scope == "gate" else [slice(None)]
        for part in parts if scope != "model" else ():
            dead = ~after[name][part]
            if born[part].any():
                assert worth[part][born[part]].min() >= worth[part][dead].max()
        scores = grid.split(values.astype("float64") ** 2).sum(axis=(3, 4)) / grid.elements
        for part in parts if scope != "model" else ():
            if gone[
                part
                # they are among the lowest six in ten, but not all of these go: some have large
                # gradients
            ].any():
                assert scores[part][gone[part]].max() <= np.quantile(
                    scores[part][before[name][part]], 0.65
                )
    assert came_back >= 5


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.quick_cases
def test_the_sparsity_remains_that_of_the_schedule(fraction, make_model, data, assert_sparse):
    model, ramp = make_model("lstm", optimizer="adam"), PolynomialDecay(0.2, 0.8, 1, 7)
    pruning, history = trained(model, data, Regrowth(fraction, until=13), ramp, epochs=4)
    for variable in kernels(model):
        assert_sparse(variable, BLOCK, 4, 0.8)
    assert pruning.sparsity == pytest.approx(0.8, abs=0.05)
    born = [
        bool((b[name] & ~a[name]).any())
        for a, b in zip(history.masks, history.masks[1:])
        for name in NAMES_OF_LSTM
    ]
    assert any(born) or fraction < 0.2
    assert not any(born[2 * 12 :])


def test_a_block_that_comes_back_begins_next_to_zero_and_learns(make_model, data, grid_of):
    model = make_model("gru", optimizer=keras.optimizers.Adam(0.01))
    _, history = trained(model, data, Regrowth(0.6, until=40))
    for number, (name, variable) in enumerate(zip(NAMES, kernels(model))):
        grid = grid_of(variable, BLOCK, 3)
        born = grid.expand(history.masks[2][name] & ~history.masks[1][name])
        assert born.any()
        first, later = history.weights[2][number][born], history.weights[4][number][born]
        assert 0 < np.abs(first).max() < 1e-5 and np.abs(later).max() > 1e-3
        # Nothing but the blocks that came or went has changed at the mask itself.
        same = grid.expand(history.masks[2][name] == history.masks[1][name]) & ~born
        assert np.count_nonzero(history.weights[2][number][same]) > 0


def test_layers_of_masked_storage_regrow_by_the_gradients_of_data(make_model, data):
    """The same masks as plain Keras layers, whose gradients reach dead blocks by themselves."""
    masks = []
    for masked in (False, True):
        keras.utils.set_random_seed(3)
        model = make_model("gru", optimizer=keras.optimizers.SGD(0.05), unroll=False)
        if masked:
            model = ksr.substitute(model, BLOCK, storage="masked")
        pruning, history = trained(
            model, data, Regrowth(0.5, until=9, data=[data], batches=3), epochs=3
        )
        masks.append(history.masks)
        assert any(
            (b[name] & ~a[name]).any()
            for a, b in zip(history.masks, history.masks[1:])
            for name in b
        )
    for plain, other in zip(*masks):
        for name, live in plain.items():
            np.testing.assert_array_equal(
                live, other[name.replace("gru_cell", list(other)[0].split("/")[1])]
            )


def test_a_second_fit_goes_on_where_the_first_one_was(make_model, data):
    """Compiled, in one go and in two: the same masks and weights."""
    ends = []
    for parts in ((2,), (1, 1)):
        keras.utils.set_random_seed(3)
        model = make_model("gru", optimizer=keras.optimizers.Adam(0.01), run_eagerly=False)
        for epochs in parts:
            pruning = BlockPruning(
                PolynomialDecay(0.1, 0.6, 1, 4), BLOCK, frequency=2, regrowth=Regrowth(0.5, until=9)
            )
            model.fit(
                *data, batch_size=8, shuffle=False, epochs=epochs, verbose=0, callbacks=[pruning]
            )
        ends.append((pruning.masks, model.get_weights()))
    (masks, weights), (others, other_weights) = ends
    assert all(np.array_equal(live, others[name]) for name, live in masks.items())
    assert all(np.array_equal(a, b) for a, b in zip(weights, other_weights))


def test_the_gradients_of_data_change_nothing_else(make_model, data):
    model = make_model("gru", optimizer="adam", metrics=["mae"])
    model.train_on_batch(data[0][:8], data[1][:8])
    before = [np.array(v.numpy()) for v in [*model.variables, *model.metrics_variables]]
    pruning = BlockPruning(HALF, BLOCK, frequency=2, regrowth=Regrowth(data=[data], until=9))
    pruning.set_model(model)
    pruning.on_train_begin()
    (group,) = pruning._groups
    gradients = pruning.regrowth.gradients([one.kernel.variable for one in group.masks], model)
    pruning.leave()
    assert [g.shape for g in gradients] == [(5, 33), (11, 33)] and all(
        np.abs(g).max() > 0 for g in gradients
    )
    after = [v.numpy() for v in [*model.variables, *model.metrics_variables]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


def test_kept_blocks_stay_and_no_gate_is_emptied(make_model, data):
    model = make_model("gru", optimizer=keras.optimizers.Adam(0.01))
    with pytest.warns(UserWarning, match="Pruning stops at the last block of a gate"):
        _, history = trained(
            model, data, Regrowth(0.9, until=13), Constant(0.97, 1), epochs=3, keep_diagonal=False
        )
    assert all(mask.any(axis=(1, 2)).all() for masks in history.masks for mask in masks.values())
    model = make_model("gru", optimizer=keras.optimizers.Adam(0.01))
    _, history = trained(
        model, data, Regrowth(0.9, until=13), Constant(0.6, 1), epochs=3, keep_diagonal=True
    )
    diagonal = BlockGrid(11, 11, 3, BLOCK).live(np.tile(np.eye(11), (1, 3)))
    assert all(masks[NAMES[1]][diagonal].all() for masks in history.masks)
    assert not np.array_equal(history.masks[1][NAMES[1]], history.masks[-1][NAMES[1]])


def test_the_share_falls_along_a_cosine():
    regrowth = Regrowth(0.4)
    np.testing.assert_allclose(
        [regrowth.share(step, 10, 50) for step in (10, 30, 50)], [0.4, 0.2, 0.0], atol=1e-12
    )


def test_it_is_saved_with_the_callback(data):
    pruning = BlockPruning(HALF, BLOCK, regrowth=Regrowth(0.2, until=9))
    again = BlockPruning.from_config(pruning.get_config())
    assert (again.regrowth.fraction, again.regrowth.until) == (0.2, 9)
    assert BlockPruning.from_config(BlockPruning(HALF).get_config()).regrowth is None
    with pytest.raises(
        ValueError, match="The `data` of a Regrowth cannot be written into a config"
    ):
        BlockPruning(HALF, regrowth=Regrowth(data=[data])).get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Regrowth(1.0),
            "`fraction` must be a number between 0 and 1. Received: fraction=1.0",
        ),
        (lambda: Regrowth(until=0), "`until` must be an integer of at least 1. Received: until=0"),
        (
            lambda: Regrowth(data=[1], batches=0),
            "`batches` must be an integer of at least 1. Received: batches=0",
        ),
        (
            lambda: BlockPruning(HALF, regrowth=0.3),
            "`regrowth` must be a Regrowth or None. Received: regrowth=0.3",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("schedule", "optimizer", "message"),
    [
        (
            ThresholdRamp(1, 2, 3, 0.1, 0.1, frequency=2),
            "adam",
            "`regrowth` needs a schedule that asks for a sparsity. Received: a ThresholdRamp",
        ),
        (
            HALF,
            "sgd",
            "`regrowth` without `data` needs an optimizer with a running mean of the gradients: "
            ".* Received: SGD",
        ),
    ],
)
def test_what_cannot_regrow(schedule, optimizer, message, make_model, data):
    with pytest.raises(ValueError, match=message):
        trained(make_model("gru", optimizer=optimizer), data, Regrowth(until=9), schedule)


def test_masked_storage_without_data(make_model, data):
    model = ksr.substitute(make_model("gru", unroll=False), BLOCK, storage="masked")
    with pytest.raises(
        ValueError,
        match=(
            '`data` of a Regrowth must be given for layers of storage="masked".* Received: '
            "data=None, for rnn/"
        ),
    ):
        trained(model, data, Regrowth(until=9))
