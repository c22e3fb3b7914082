"""The loop that is exported computes what Keras computes: run eagerly, without a conversion, so
that many cases are quick.
"""

import types

import keras
import numpy as np
import pytest

from keras_sparse_rnn.export import cells, recurrence

CASES = {
    "lstm": lambda **options: keras.layers.LSTM(6, **options),
    "lstm without bias, relu": lambda **options: keras.layers.LSTM(
        6, use_bias=False, activation="relu", **options
    ),
    "gru": lambda **options: keras.layers.GRU(5, **options),
    "gru without bias": lambda **options: keras.layers.GRU(
        5, use_bias=False, recurrent_activation="hard_sigmoid", **options
    ),
    "gru reset before": lambda **options: keras.layers.GRU(5, reset_after=False, **options),
    "simple tanh": lambda **options: keras.layers.SimpleRNN(7, **options),
    "simple relu": lambda **options: keras.layers.SimpleRNN(7, activation="relu", **options),
}


def built(case, **options):
    keras.utils.set_random_seed(1)
    layer = CASES[case](return_state=True, **options)
    layer.build((None, None, 3))
    rng = np.random.default_rng(2)
    layer.set_weights(
        [rng.normal(size=weight.shape).astype("float32") * 0.4 for weight in layer.get_weights()]
    )
    return layer


def both(layer, steps, mask=None):
    """What Keras and what our loop return, from a random initial state: output, outputs if any,
    states.
    """
    rng = np.random.default_rng(3)

    def random(*shape):
        return keras.ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))

    inputs = random(2, steps, 3)
    states = [random(2, layer.units) for _ in keras.tree.flatten(layer.cell.state_size)]
    options = {"mask": None if mask is None else keras.ops.convert_to_tensor(mask)}
    expected = layer(inputs, initial_state=states, **options)
    last, outputs, new = recurrence.run(
        cells.of(layer),
        inputs,
        states,
        options["mask"],
        go_backwards=layer.go_backwards,
        return_sequences=layer.return_sequences,
        zero_output_for_mask=layer.zero_output_for_mask,
    )
    received = [outputs if layer.return_sequences else last, *new]
    return [np.asarray(each) for each in expected], [np.asarray(each) for each in received]


def check(expected, received):
    assert len(expected) == len(received)
    for one, other in zip(expected, received):
        np.testing.assert_allclose(other, one, atol=3e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sequences", [False, True])
def test_every_cell_is_keras_s_forwards_and_backwards(case, sequences):
    for backwards in (False, True):
        layer = built(case, return_sequences=sequences, go_backwards=backwards)
        check(*both(layer, steps=7))


@pytest.mark.parametrize("case", ["lstm", "gru", "simple relu"])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.quick_cases(4)
def test_masked_steps_leave_the_states_alone(case, zero, sequences):
    mask = np.random.default_rng(5).random((2, 11)) < 0.6
    mask[0, :2], mask[1, -3:] = False, False
    for backwards in (False, True):
        layer = built(
            case, return_sequences=sequences, go_backwards=backwards, zero_output_for_mask=zero
        )
        check(*both(layer, 11, mask))


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 9, 23, 37, 101])
@pytest.mark.quick_cases(4)
def test_every_length_whether_its_steps_are_written_out_or_not(steps, written_out, monkeypatch):
    kind = types.SimpleNamespace(kind="blocks" if written_out else "dense")
    monkeypatch.setattr(recurrence, "choose", lambda weights: kind)
    mask = np.random.default_rng(5).random((2, steps)) < 0.6
    layer = built("lstm", return_sequences=True)
    check(*both(layer, steps))
    check(*both(layer, steps, mask))


@pytest.mark.parametrize("written_out", [False, True])
def test_a_plan_covers_every_step_once_with_little_padding(written_out):
    for steps in range(1, 2000):
        plan = recurrence.plan(steps, written_out)
        covered = int(np.prod(plan.loops, dtype=int)) * plan.piece - plan.padding
        assert covered == steps
        assert plan.padding <= max(0.12 * steps, 4 if steps > 10 else 0)
        assert plan.piece <= recurrence.LONGEST_PIECE
        assert written_out or plan.piece == 1


def test_a_hundred_steps_need_no_padding():
    assert recurrence.plan(100, True) == recurrence.Plan(loops=(10,), piece=10, padding=0)
    assert recurrence.plan(100, False) == recurrence.Plan(loops=(10, 10), piece=1, padding=0)


def test_a_subclass_keeps_its_own_loop():
    class Mine(keras.layers.LSTM):
        pass

    assert cells.of(Mine(3)) is None
    assert cells.of(keras.layers.Dense(3)) is None
