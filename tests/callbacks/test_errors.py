"""What goes wrong is told in words, and leaves the model as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from fitting import HALF, fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay, ThresholdRamp

layers = keras.layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"schedule": "0.9"},
            "`schedule` must be a schedule of keras_sparse_rnn.schedules or a tfmot "
            "PruningSchedule, or a fraction in [0, 1). Received: schedule='0.9'",
        ),
        (
            {"schedule": 90},
            "`schedule` must be a fraction in [0, 1), 0.9 for 90 %. Received: schedule=90",
        ),
        ({"schedule": {}}, "`schedule` must have at least one entry. Received: schedule={}"),
        (
            {"schedule": {"a": None}},
            "`schedule['a']` must be a schedule of keras_sparse_rnn.schedules or a tfmot "
            "PruningSchedule, or a fraction in [0, 1). Received: schedule['a']=None",
        ),
        (
            {"schedule": {("a", "b"): HALF}},
            "`schedule` must have single selectors of layers as keys. Received: ('a', 'b')",
        ),
        (
            {"schedule": {"a": HALF}, "layers": "a"},
            "`layers` must be None when `schedule` is a mapping, which names them. Received: "
            "layers='a'",
        ),
        (
            {"block_shape": (0, 16)},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=(0, 16)",
        ),
        (
            {"block_shape": 16},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=16",
        ),
        ({"frequency": 0}, "`frequency` must be an integer of at least 1. Received: frequency=0"),
        (
            {"schedule": ThresholdRamp(1, 2, 3, 0.1, 0.1), "frequency": 50},
            "`frequency` must be None, or that of the schedule, where a schedule has its own. "
            "Received: frequency=50, and 100 in the schedule",
        ),
        (
            {"optimizer": "adam"},
            "`optimizer` must be None, for that of the model, or a keras.optimizers.Optimizer that "
            "trains it. Received: optimizer='adam'",
        ),
        ({"log": "all"}, "`log` must be one of None, 'kernels'. Received: log='all'"),
        (
            {"criterion": "median"},
            "`criterion` must be one of 'max', 'mean', 'l2', 'fisher', or a Criterion of "
            "keras_sparse_rnn.criteria. Received: criterion='median'",
        ),
        (
            {"scope": "layer"},
            "`scope` must be one of 'gate', 'kernel', 'model', None. Received: scope='layer'",
        ),
        (
            {"keep_diagonal": "yes"},
            "`keep_diagonal` must be True or False. Received: keep_diagonal='yes'",
        ),
        (
            {"layers": 3},
            "`layers` must be a layer name or pattern, a layer type, a predicate of a layer, or "
            "a list of these. Received: layers=3",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        BlockPruning(**{"schedule": HALF, **arguments})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"layers": "lstm"},
            "`layers` must match layers of the model; 'lstm' matches none. It has: rnn, thin, head",
        ),
        (
            {"schedule": Constant(0.9, 2), "block_shape": (2, 2), "keep_diagonal": True},
            "rnn/gru_cell/recurrent_kernel, gate z, cannot be pruned. `keep_diagonal` and "
            "`minimum_density` protect more than the sparsity allows: 6 of 36 blocks are kept. "
            "Received: sparsity=0.9",
        ),
        (
            {
                "schedule": ThresholdRamp(1, 2, 3, 0.1, 0.1),
                "block_shape": (2, 2),
                "criterion": "l2",
            },
            "`criterion` must be 'max' with a ThresholdRamp, whose threshold is compared with the "
            "largest weight of a block. Received: criterion='l2'",
        ),
        (
            {"schedule": ThresholdRamp(1, 2, 3, {"x": 0.1}, {"x": 0.1}), "block_shape": (2, 2)},
            "`start_slope` must have a slope for each kernel that is pruned, or as many as there "
            "are. Missing: ['rnn/gru_cell/kernel', 'rnn/gru_cell/recurrent_kernel']. Received: "
            "start_slope for ['x']",
        ),
        (
            {
                "schedule": ThresholdRamp(1, 2, 3, {"x": [1, 2], "y": 1}, {"x": [1, 2], "y": 1}),
                "block_shape": (2, 2),
            },
            "`start_slope` must be one number or one for each gate: rnn/gru_cell/kernel has 3 "
            "gates. Received: 2 slopes",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_found_before_anything_is_changed(arguments, message, data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(11, name="rnn"),
            layers.Dense(1, name="thin"),
            layers.Dense(2, name="head"),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(**{"schedule": HALF, **arguments}))
    assert str(error.value) == message
    assert all(variable.constraint is None for variable in model.trainable_variables)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_models_that_cannot_be_pruned(data):
    dense = keras.Sequential([keras.Input((2, 5)), layers.Flatten(), layers.Dense(2, name="d")])
    dense.compile("sgd", "mse")
    with pytest.raises(
        ValueError,
        match=r"The model must have a recurrent layer \(LSTM, GRU, SimpleRNN or their cells\)",
    ):
        fit(dense, data, BlockPruning(HALF))
    unbuilt = keras.Sequential([layers.GRU(20, name="g"), layers.Dense(2)])
    unbuilt.compile("sgd", "mse")
    pruning = BlockPruning(HALF)
    pruning.set_model(unbuilt)
    with pytest.raises(
        ValueError,
        match=(
            "The model must be built before its kernels are looked for: g/gru_cell has no "
            "weights yet."
        ),
    ):
        pruning.on_train_begin()
    frozen = keras.Sequential(
        [keras.Input((2, 5)), layers.GRU(20, name="g", trainable=False), layers.Dense(2)]
    )
    frozen.compile("sgd", "mse")
    with pytest.raises(
        ValueError,
        match=(
            "`layers` must have a trainable layer that can be pruned. Received: only frozen "
            "ones, g/gru_cell"
        ),
    ):
        fit(frozen, data, BlockPruning(HALF))
    pruning = BlockPruning(HALF)
    pruning.set_model(keras.Sequential([keras.Input((2, 5)), layers.GRU(20)]))
    with pytest.raises(ValueError, match="The model must be compiled before it is pruned"):
        pruning.on_train_begin()


def test_packed_layers_say_what_to_do(data):
    from keras_sparse_rnn.layers import BlockSparseDense, BlockSparseGRU

    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            BlockSparseGRU(6, (2, 2), name="g"),
            BlockSparseDense(2, (2, 2), name="d"),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(HALF, (2, 2), layers=["g", "d"]))
    assert 'd (its weights are packed; use storage="masked" while pruning)' in str(error.value)
    assert 'g/gru_cell (its weights are packed; use storage="masked" while pruning)' in str(
        error.value
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_when_a_mask_is_taken(value, make_model):
    model, pruning = (
        make_model("gru"),
        BlockPruning(PolynomialDecay(0.3, 0.8, 0, 9), (3, 2), frequency=2),
    )
    pruning.set_model(model)
    pruning.on_train_begin()
    pruning.on_train_batch_begin(0)
    kernels(model)[1].assign(np.where(np.arange(33) == 7, value, kernels(model)[1].numpy()))
    model.optimizer.iterations.assign(6)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        pruning.on_train_batch_end(0)
    assert str(error.value) == (
        "No mask can be taken from rnn/gru_cell/recurrent_kernel. `kernel` must be finite when a "
        "mask is taken from it: training has diverged. Received: 11 of 363 weights are NaN or "
        "infinite"
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


def test_training_ends_in_an_error_if_the_mask_was_not_held(make_model, data):
    model = Bypass([keras.Input((2, 5)), *make_model("gru").layers])
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(
        RuntimeError,
        match="Pruning has failed: rnn/gru_cell/kernel should have a sparsity of 0.[45]",
    ):
        fit(model, data, BlockPruning(HALF, (2, 2)))
    assert all(variable.constraint is None for variable in model.trainable_variables)


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
