"""Packed layers whose blocks evolve: how many, which, when, with what they begin, and that a
resumed run goes on as one that was left in peace.
"""

import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from evolving import After, data, fit, kernels, model, whole_run

from keras_sparse_rnn import callbacks
from keras_sparse_rnn.callbacks import Evolution

PARENTS = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "simple_rnn": keras.layers.SimpleRNN,
}


class Seen(keras.callbacks.Callback):
    """Kernels, slots and logs after each step."""

    def __init__(self):
        super().__init__()
        self.kernels, self.slots, self.logs = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.kernels.append(kernels(self.model))
        names = [n for n in ("_momentums", "_velocities") if hasattr(self.model.optimizer, n)]
        index = [0, 1, 3]  # those of the three kernels, beside the biases
        self.slots.append(
            [
                [np.array(getattr(self.model.optimizer, name)[number].numpy()) for name in names]
                for number in index
            ]
        )
        self.logs.append(dict(logs))


def seen(evolution, made, epochs):
    history = Seen()
    fit(made, evolution, history, epochs=epochs)
    return history


@pytest.mark.parametrize("growth", ["gradient", "random"])
def test_newborn_blocks_are_zero_with_fresh_slots_and_the_others_stay_as_they_were(growth):
    """Beside a run without Evolution, which makes the same step. As many live in each gate as
    before.
    """
    runs = []
    for more in ([], [Evolution(3, 0.6, end_step=9, growth=growth)]):
        keras.utils.set_random_seed(2)
        history = Seen()
        fit(model(), *more, history, epochs=1)
        runs.append(history)
    alone, evolved = runs
    for number in range(3):
        grid, old, blocks = alone.kernels[2][number]
        _, new, now = evolved.kernels[2][number]
        kept = np.isin(now, blocks)
        assert np.count_nonzero(~kept) >= 1 and np.all(np.diff(now) > 0)
        size = grid.count // grid.gates
        assert np.array_equal(np.bincount(now // size), np.bincount(blocks // size))
        assert not new[~kept].any()
        assert np.array_equal(new[kept], old[np.isin(blocks, now)])
        for slot, before in zip(evolved.slots[2][number], alone.slots[2][number]):
            assert not slot[~kept].any()
            assert np.array_equal(slot[kept], before[np.isin(blocks, now)])
        later = evolved.kernels[3][number][1]
        assert later[~kept].any()  # they learn


@pytest.mark.parametrize("drop", ["magnitude", "signs"])
def test_the_weakest_share_of_each_gate_goes_by_the_cosine(drop):
    evolution = Evolution(1, 0.6, end_step=6, growth="random", drop=drop)
    assert evolution.share(0) == 0.6 and evolution.share(6) == 0
    assert evolution.share(2) == pytest.approx(0.3 * (1 + math.cos(math.pi / 3)))
    keras.utils.set_random_seed(3)
    history = seen(evolution, model(optimizer=keras.optimizers.SGD(1e-6)), epochs=2)
    for step in range(1, 7):
        for (grid, values, blocks), (_, _, now) in zip(
            history.kernels[step - 1], history.kernels[step]
        ):
            size, share = grid.count // grid.gates, evolution.share(step + 1)
            scores = (values.astype("float64") ** 2).sum(axis=(1, 2)) / grid.elements.ravel()[
                blocks
            ]
            above = values.sum(axis=(1, 2)) > 0
            for gate in range(grid.gates):
                own = blocks // size == gate
                groups = [own] if drop == "magnitude" else [own & above, own & ~above]
                gone = np.setdiff1d(blocks[own], now)
                wanted = []
                for group in groups:
                    count = round(share * np.count_nonzero(group))
                    wanted += list(blocks[group][np.argsort(scores[group], kind="stable")[:count]])
                # newborn ones are zero to the last digit: which of them goes is by the number
                if step + 1 >= 6:
                    assert len(gone) == 0
                elif np.count_nonzero(scores[own] < 1e-8) == 0:
                    assert sorted(gone) == sorted(wanted)
                elif drop == "magnitude":
                    assert len(gone) == len(wanted)


@pytest.mark.parametrize(
    "cell, scope", [("lstm", "gate"), ("gru", "kernel"), ("simple_rnn", "gate")]
)
def test_those_of_the_largest_gradient_grow(cell, scope):
    """Against a dense Keras model in float64: the first exchange, after a step of a rate so small
    that weights stay what they are.
    """
    keras.utils.set_random_seed(11)
    made = model(cell, optimizer=keras.optimizers.SGD(1e-9))
    before = kernels(made)
    dense = keras.Sequential(
        [
            keras.Input((3, 7), dtype="float64"),
            PARENTS[cell](17, dtype="float64"),
            keras.layers.Dense(2, dtype="float64"),
        ]
    )
    rnn, head = made.get_layer("rnn"), made.get_layer("head")
    dense.set_weights(
        [*rnn.dense_kernels(), rnn.bias.numpy(), *head.dense_kernels(), head.bias.numpy()]
    )
    fit(made, Evolution(1, 0.7, end_step=100, scope=scope), epochs=1, samples=8)

    x, y = data(8)
    variables = [dense.trainable_variables[number] for number in (0, 1, 3)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((dense(x.astype("float64"), training=True) - y) ** 2)
    gradients = tape.gradient(loss, [one.value for one in variables])
    for (grid, values, blocks), (_, _, now), gradient in zip(before, kernels(made), gradients):
        worth = (grid.split(np.asarray(gradient) ** 2).sum(axis=(3, 4)) / grid.elements).ravel()
        scores = (values.astype("float64") ** 2).sum(axis=(1, 2)) / grid.elements.ravel()[blocks]
        wanted = []
        parts = grid.gates if scope == "gate" else 1
        for part in range(parts):
            size = grid.count // parts
            own = blocks // size == part
            room = size - np.count_nonzero(own)
            share = Evolution(1, 0.7, end_step=100).share(1)
            count = min(room, round(share * np.count_nonzero(own)))
            kept = blocks[own][np.sort(np.argsort(scores[own], kind="stable")[count:])]
            rest = np.setdiff1d(np.arange(part * size, (part + 1) * size), kept)
            wanted += [*kept, *rest[np.argsort(-worth[rest], kind="stable")[:count]]]
        assert np.array_equal(now, np.sort(wanted))


def test_blocks_on_the_diagonal_are_never_dropped_if_they_are_to_be_kept():
    made = model("gru", keep_diagonal=True, sparsity=0.5)
    grid, _, before = kernels(made)[1]
    evolution = Evolution(1, 0.9, end_step=50, growth="random", keep_diagonal=True)
    fit(made, evolution, epochs=1)
    now = kernels(made)[1][2]
    assert np.isin(grid.diagonal, now).all()
    assert np.count_nonzero(np.isin(before, now)) < len(before) // 2 + grid.diagonal.size


def test_nothing_is_exchanged_from_the_end_step_on_and_the_logs_say_how_much_was():
    evolution = Evolution(2, 0.4, end_step=5, growth="random")
    history = seen(evolution, model("simple_rnn"), epochs=2)
    changes = [
        sum(int(np.count_nonzero(~np.isin(b[n][2], a[n][2]))) for n in range(3))
        for a, b in zip(history.kernels, history.kernels[1:])
    ]
    steps = [number + 2 for number, count in enumerate(changes) if count]
    assert steps == [2, 4]
    assert [logs["exchanged"] for logs in history.logs][:5] == [
        0,
        changes[0],
        changes[0],
        changes[2],
        changes[2],
    ]


def test_by_default_the_last_quarter_of_the_fit_is_left_in_peace():
    evolution = Evolution(1, 0.6, growth="random")
    fit(model("simple_rnn"), evolution, epochs=2)  # 8 steps
    assert evolution.share(6) == 0 < evolution.share(5)


def test_of_a_fit_that_begins_at_a_later_epoch_the_last_quarter_is_left_in_peace_too():
    evolution = Evolution(1, 0.6, growth="random")
    fit(model("simple_rnn"), evolution, initial_epoch=10, epochs=12)  # 8 steps
    assert evolution.share(6) == 0 < evolution.share(5)


def test_a_fit_inside_of_one_that_begins_at_a_later_epoch_leaves_its_end_alone():
    made, inner = model("simple_rnn"), []

    def once(made):
        if not inner:
            inner.append(fit(made, epochs=1))

    evolution = Evolution(1, 0.6, growth="random")
    fit(made, evolution, After(once), initial_epoch=10, epochs=12)  # 8 steps, and 4 inside
    assert inner and evolution.share(6) == 0 < evolution.share(5)


def test_nothing_is_traced_again():
    """Not by an exchange, and not by a second fit."""
    made, traces, counts = model("simple_rnn", run_eagerly=False), [], []
    step = made.train_step
    made.train_step = lambda batch: traces.append(1) or step(batch)
    evolution = Evolution(2, 0.5, end_step=20)
    for _ in range(2):
        fit(made, evolution, After(lambda _: counts.append(len(traces))), epochs=1)
        assert evolution.exchanged > 0
    assert len(counts) == 8 and len(set(counts)) == 1
    assert made.get_layer("rnn").watch is None


def test_under_several_steps_in_an_execution_blocks_are_exchanged_after_it():
    made = model("simple_rnn", run_eagerly=False, steps_per_execution=4)
    before = kernels(made)
    evolution = Evolution(3, 0.5, end_step=9)
    fit(made, evolution, epochs=1)
    assert evolution.exchanged > 0
    assert not np.array_equal(before[1][2], kernels(made)[1][2])


@pytest.mark.parametrize("growth", ["gradient", pytest.param("random", marks=pytest.mark.slow)])
def test_a_run_that_breaks_off_and_is_resumed_ends_with_the_same_bits(growth, tmp_path):
    """In the third epoch of four; a new model, callback and optimizer."""

    def crash(made):
        if int(made.optimizer.iterations.numpy()) == 10:
            raise KeyError("out of luck")

    with pytest.raises(KeyError):
        whole_run(growth, str(tmp_path), crash, run_eagerly=True)
    resumed = whole_run(growth, str(tmp_path), run_eagerly=True)
    for one, other in zip(resumed, whole_run(growth, run_eagerly=True), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("growth", ["gradient", "random"])
def test_a_run_whose_process_is_killed_and_resumed_ends_with_the_same_bits(growth, tmp_path):
    script = pathlib.Path(__file__).with_name("evolving.py")
    subprocess.run([sys.executable, script, str(tmp_path), "10", growth], capture_output=True)
    assert any(tmp_path.iterdir())
    resumed = whole_run(growth, str(tmp_path))
    for one, other in zip(resumed, whole_run(growth), strict=True):
        assert np.array_equal(one, other)


def test_a_saved_model_remembers_and_refuses_other_options(tmp_path):
    """Nothing is changed by the refusal."""
    made = model()
    fit(made, Evolution(2, 0.5, end_step=9), epochs=1)
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    before = [np.array(one.numpy()) for one in again.weights]
    with pytest.raises(ValueError) as error:
        fit(again, Evolution(2, 0.4, end_step=9, growth="random"), epochs=1)
    assert str(error.value) == (
        "The blocks of 'rnn' have evolved with other options up to step 4: (frequency, fraction, "
        "end_step, growth, drop, scope, keep_diagonal) were (2, 0.5, 9, 'gradient', 'magnitude', "
        "'gate', False). Go on with these, or compile the model anew, which begins at step 0. "
        "Received: (2, 0.4, 9, 'random', 'magnitude', 'gate', False)"
    )
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, again.weights))
    fit(again, Evolution(2, 0.5, end_step=9), epochs=1)
    again.compile("adam", "mse", run_eagerly=True)
    fit(again, Evolution(2, 0.4, end_step=9, growth="random"), epochs=1)


def test_it_goes_into_a_config_and_back():
    evolution = Evolution(
        7, 0.2, 90, "random", ["rnn"], drop="signs", scope="kernel", keep_diagonal=True
    )
    again = callbacks.Evolution.from_config(evolution.get_config())
    assert again.get_config() == evolution.get_config()
