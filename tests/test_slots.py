"""What an optimizer remembers of a variable, through whatever is wrapped around it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn import slots


def stepped(optimizer, count=2):
    """A variable that `optimizer` has moved by `count` known gradients."""
    variable = keras.Variable(np.arange(1.0, 7.0, dtype="float32").reshape(2, 3))
    optimizer.build([keras.Variable(np.zeros(4, "float32")), variable])
    for _ in range(count):
        gradient = tf.constant([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
        optimizer.apply([tf.zeros(4), gradient])
    return variable


def of_class(name, **options):
    """An optimizer of Keras, where the installed Keras has it."""
    kind = getattr(keras.optimizers, name, None)
    if kind is None:
        pytest.skip(f"Keras {keras.__version__} has no {name}")
    return kind(0.01, **options)


@pytest.mark.parametrize(
    "name, options",
    [
        ("Adam", {}),
        ("AdamW", {}),
        ("Lamb", {}),
        ("Lion", {}),
        ("Nadam", {}),
        ("SGD", {"momentum": 0.9}),
    ],
)
def test_first_moments_point_along_the_gradient(name, options):
    optimizer = of_class(name, **options)
    moment = slots.first_moment(optimizer, stepped(optimizer))
    gradient = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    factor = moment[0, 0]
    assert factor != 0
    np.testing.assert_allclose(moment, factor * gradient, rtol=1e-5)


@pytest.mark.parametrize(
    "name, options",
    [("ScheduleFreeAdamW", {}), ("SGD", {}), ("Adagrad", {}), ("Adafactor", {}), ("Ftrl", {})],
)
def test_slots_that_are_no_running_mean_are_not_taken_for_one(name, options):
    """The `_momentums` of ScheduleFreeAdamW are weights."""
    optimizer = of_class(name, **options)
    assert slots.first_moment(optimizer, stepped(optimizer)) is None


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Lamb", "Nadam", "RMSprop"])
def test_second_moments_are_squared_gradients(name):
    optimizer = of_class(name)
    moment = slots.second_moment(optimizer, stepped(optimizer))
    squares = np.square([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    np.testing.assert_allclose(moment, moment[0, 0] * squares, rtol=1e-5)


def test_slots_are_found_inside_wrapped_optimizers_each_once():
    inner = keras.optimizers.Adam(0.01, use_ema=True)
    outer = keras.optimizers.LossScaleOptimizer(inner)
    variable = keras.Variable(np.ones((2, 3), "float32"))
    outer.build([variable])
    found = list(slots.slots_of(outer, variable))
    assert len({id(slot) for _, _, slot in found}) == len(found)
    names = {name for owner, name, _ in found if owner is inner}
    assert names == {"_momentums", "_velocities", "_model_variables_moving_average"}
    assert slots.knows(outer, variable)
    assert not slots.knows(outer, keras.Variable(np.ones((2, 3), "float32")))


def test_a_private_name_that_keras_has_no_more_is_told_and_not_taken_for_nothing(monkeypatch):
    optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    variable = keras.Variable(np.ones(3, "float32"))
    optimizer.build([variable])
    del optimizer._model_variables_moving_average
    with pytest.raises(RuntimeError) as error:
        slots.moving_averages(optimizer, variable)
    assert str(error.value) == (
        f"Keras {keras.__version__} has no `_model_variables_moving_average` in Adam, which this "
        "version of keras_sparse_rnn needs. Install a newer keras_sparse_rnn, or a Keras that it "
        "was tested with (3.7 to 3.15)"
    )


def test_updates_are_those_of_the_optimizer_that_moves_the_weights():
    inner = keras.optimizers.Adam(0.01)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    variable = keras.Variable(np.ones(2, "float32"))
    for gradient in ([1.0, 2.0], [np.inf, 1.0], [1.0, 2.0]):
        outer.apply([tf.constant(gradient)], [variable])
    assert slots.updates_made(outer) == slots.updates_made(inner) == 2  # one was skipped
