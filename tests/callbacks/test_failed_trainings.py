"""A training that fails, or ends before its pruning does, says so and leaves no masks behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from fitting import HALF, fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_when_a_mask_is_taken(value, make_model):
    model, pruning = (
        make_model("gru"),
        BlockPruning(PolynomialDecay(0.3, 0.8, 0, 9), (3, 2), frequency=2),
    )
    pruning.set_model(model)
    pruning.on_train_begin()
    pruning.on_train_batch_begin(0)
    weights = kernels(model)[1].numpy()
    bad = (np.arange(33) == 7) & (weights != 0)
    kernels(model)[1].assign(np.where(bad, value, weights))
    model.optimizer.iterations.assign(6)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        pruning.on_train_batch_end(0)
    assert str(error.value) == (
        "No mask can be taken from rnn/gru_cell/recurrent_kernel. `kernel` must be finite when a "
        f"mask is taken from it: training has diverged. Received: {bad.sum()} of 363 weights are "
        "NaN or infinite"
    )
    # no weight has changed, in the other kernel neither, and the masks are off
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, model.get_weights()))
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_a_fit_that_diverges_ends_with_the_error(make_model, data):
    model = make_model("gru", optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(
        ValueError, match="No mask can be taken from rnn/gru_cell/kernel. .* training has diverged"
    ):
        fit(model, data, BlockPruning(Constant(0.5, 4), (3, 2)))
    assert (
        all(variable.constraint is None for variable in model.trainable_variables)
        and model.train_function is None
    )


class Bypass(keras.Sequential):
    """A model whose training step changes weights without its optimizer, so that constraints are
    never applied.
    """

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        for gradient, variable in zip(
            tape.gradient(loss, self.trainable_variables), self.trainable_variables
        ):
            variable.assign_sub(0.1 * gradient)
        self.optimizer.iterations.assign_add(1)
        return {"loss": loss}


def test_training_ends_in_an_error_at_the_first_step_that_does_not_hold_the_mask(make_model, data):
    model = Bypass([keras.Input((2, 5)), *make_model("gru").layers])
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(
        RuntimeError,
        match="Pruning has failed: rnn/gru_cell/kernel should have a sparsity of 0.[45]",
    ):
        fit(model, data, BlockPruning(HALF, (2, 2)))
    assert int(model.optimizer.iterations) == 3
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_a_step_that_an_earlier_fit_has_traced_is_told_at_once(data):
    class Traced(keras.Sequential):
        @tf.function
        def train_step(self, data):
            return super().train_step(data)

    model = Traced([keras.Input((2, 5)), keras.layers.SimpleRNN(8), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    fit(model, data)
    with pytest.raises(RuntimeError) as error:
        fit(model, data, BlockPruning(0.5, (2, 2)))
    assert str(error.value).endswith(
        "and has 0.0000. The training step before step 6 has changed the weights without applying "
        "their constraints: it does not use `optimizer.apply`, or was traced by tf.function before "
        "`on_train_begin`. A `train_step` that is a tf.function itself remembers how an earlier "
        "`fit` has traced it: leave the tf.function to Keras, or make the model anew and copy the "
        "weights."
    )


@pytest.mark.parametrize(
    "schedule",
    [Constant(0.5, 2), ThresholdRamp(1, 2, 3, 0.08, 0.08, frequency=1)],
    ids=["sparsity", "threshold"],
)
@pytest.mark.parametrize("first", [True, False])
def test_training_ends_in_a_warning_if_other_weights_were_restored(
    first, schedule, make_model, data
):
    model = make_model("gru", units=12)
    dense = model.get_weights()

    class Restore(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights(dense)

    pruning = BlockPruning(schedule, (2, 4))
    with pytest.warns(UserWarning) as caught:
        fit(model, data, *([Restore(), pruning] if first else [pruning, Restore()]))
    (told,) = [str(one.message) for one in caught]
    asked = {name: 1 - np.mean(live) for name, live in pruning.masks.items()}[
        "rnn/gru_cell/recurrent_kernel"
    ]
    assert (
        f"rnn/gru_cell/recurrent_kernel should have a sparsity of {asked:.4f} and has 0.0000"
        in told
    )
    assert told.startswith("After the last step, something has changed the weights") and asked > 0.1
    assert all(np.array_equal(a, b) for a, b in zip(dense, model.get_weights()))


def test_a_training_that_ends_before_its_schedule_says_so(make_model, data):
    model, pruning = (
        make_model("simple_rnn"),
        BlockPruning(PolynomialDecay(0.0, 0.75, 2, 8), (3, 2), frequency=2),
    )
    with pytest.warns(UserWarning) as caught:
        fit(model, data, pruning)
    assert [str(one.message) for one in caught] == [
        "Pruning is not finished: training ended at step 5, and the schedule reaches 0.7500 at "
        f"step 8 (the sparsity is {pruning.sparsity:.4f} now, of rnn/simple_rnn_cell/kernel, "
        "rnn/simple_rnn_cell/recurrent_kernel). Train on, with another `fit` that has this "
        "callback, or let the schedule end sooner."
    ]
    fit(model, data, pruning)  # the rest, in silence


def test_a_ramp_that_has_not_ended_says_so(make_model, data):
    with pytest.warns(UserWarning, match="the schedule reaches its last threshold at step 90"):
        fit(make_model(), data, BlockPruning(ThresholdRamp(1, 20, 90, 0.1, 0.2), (3, 2)))


def test_a_training_step_that_raises_takes_the_masks_off(make_model, data):
    model = make_model("gru")
    pruning = BlockPruning(HALF, (3, 2))

    def broken(*args, **kwargs):
        raise OSError("the disk is gone")

    model.train_step = broken
    with pytest.raises(OSError, match="the disk is gone"):
        fit(model, data, pruning)
    assert (
        all(variable.constraint is None for variable in model.trainable_variables)
        and model.train_function is None
    )


def test_data_that_run_out_do_not_end_pruning(make_model, data, assert_sparse):
    model, pruning = make_model("gru", run_eagerly=False), BlockPruning(Constant(0.5, 8), (3, 2))
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(
        8
    )  # five batches where seven are asked for
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(
            dataset, epochs=2, steps_per_epoch=7, shuffle=False, verbose=0, callbacks=[pruning]
        )
    assert int(model.optimizer.iterations.numpy()) == 10
    assert_sparse(kernels(model)[1], (3, 2), 3, 0.5)


def test_a_fit_of_no_epochs_changes_nothing(make_model, data):
    model = make_model("gru")
    before = model.get_weights()
    fit(model, data, BlockPruning(Constant(0.5, 0), (3, 2)), epochs=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert all(variable.constraint is None for variable in model.trainable_variables)
