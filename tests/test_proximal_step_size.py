"""How far a proximal constraint shrinks blocks at a step: who tells it, and what if nobody does."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.constraints import ProximalGroupLasso


def test_an_optimizer_without_a_learning_rate_needs_a_number():
    constraint = ProximalGroupLasso(0.5, (2, 3), gates=1)

    class Several(keras.optimizers.SGD):
        @property
        def learning_rate(self):
            raise AttributeError("as keras.optimizers.MultiOptimizer has it")

    constraint.follow(Several())
    with pytest.raises(ValueError) as error:
        constraint(np.ones((4, 6), "float32"))
    assert str(error.value) == (
        "`learning_rate` of ProximalGroupLasso must be a number with an optimizer that has no "
        "learning rate of its own, such as a MultiOptimizer. Received: learning_rate=None and a "
        "Several"
    )


@pytest.mark.parametrize("learning_rate", [None, 0.5])
def test_batches_that_are_accumulated_shrink_it_as_one_step_does(learning_rate):
    """Keras calls constraints at every batch."""
    constraint = ProximalGroupLasso(0.02, (1, 1), learning_rate=learning_rate)
    layer = keras.layers.Dense(3, kernel_constraint=constraint)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(
        keras.optimizers.SGD(0.5, gradient_accumulation_steps=4), lambda y, y_pred: 0.0 * y_pred
    )
    before = np.abs(layer.kernel.numpy()).max()
    model.fit(
        np.zeros((8, 3)),
        np.zeros((8, 3)),
        batch_size=1,
        verbose=0,
        callbacks=[ksr.callbacks.StrengthSchedule()],
    )
    np.testing.assert_allclose(
        before - np.abs(layer.kernel.numpy()).max(), 2 * 0.5 * 0.02, rtol=1e-5
    )


def test_without_a_learning_rate_it_must_be_told_one():
    with pytest.raises(ValueError) as error:
        ProximalGroupLasso(0.5, (2, 3), gates=1)(np.ones((4, 6), "float32"))
    assert str(error.value) == (
        "`learning_rate` of ProximalGroupLasso must be a number if no callback tells it: add "
        "ksr.callbacks.StrengthSchedule() to those of `fit`, or call `follow(optimizer)`. "
        "Received: learning_rate=None"
    )
