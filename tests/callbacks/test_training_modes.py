"""Masks hold however `fit` trains: compiled, in mixed precision, with averages, accumulation, other
constraints.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay
from keras_sparse_rnn.slots import moving_averages

# Keras itself calls NumPy in this way when it saves a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RAMP = PolynomialDecay(0.2, 0.75, 2, 7)
BLOCK = (3, 2)


def fit(model, data, *callbacks, epochs=2, **arguments):
    return model.fit(
        *data, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments
    )


def kernels(model):
    cell = model.get_layer("rnn").cell
    return cell.kernel, cell.recurrent_kernel


def pruning(schedule=RAMP, **arguments):
    return BlockPruning(schedule, BLOCK, **{"frequency": 2, **arguments})


@pytest.fixture
def check(assert_sparse):
    def check(model, gates=1, sparsity=0.75):
        for variable in kernels(model):
            assert_sparse(variable, BLOCK, gates, sparsity)
            assert variable.constraint is None
        assert all(np.isfinite(w.numpy()).all() for w in model.weights)

    return check


def test_compiled_with_xla(make_model, data, check):
    model = make_model(
        "lstm",
        run_eagerly=False,
        unroll=False,
        jit_compile=True,
        optimizer=keras.optimizers.Adam(0.02),
    )
    fit(model, data, pruning())
    assert model.jit_compile
    check(model, gates=4)


@pytest.mark.parametrize("steps", [3, 50])
def test_several_steps_per_execution(steps, make_model, data, check):
    """Five steps an epoch: 3 leaves a remainder, 50 is the whole epoch at once."""
    model = make_model(run_eagerly=False, unroll=False, steps_per_execution=steps)
    history = fit(model, data, pruning(), epochs=3).history
    check(model)
    # at step 5 the last trigger was at step 4, or for 3 steps: hooks at 3 and 5, so also 4
    expected = [RAMP(4), RAMP(7), RAMP(7)]
    np.testing.assert_allclose(history["sparsity"], expected, atol=0.05)


def test_a_model_that_was_trained_dense_before(make_model, data, check):
    """Its training function is traced already, without masks."""
    model = make_model(run_eagerly=False)
    fit(model, data)
    fit(model, data, pruning(PolynomialDecay(0.2, 0.75, 12, 17)))
    check(model)
    fit(model, data)
    for variable in kernels(model):
        assert (variable.numpy() != 0).all(), "without the callback training is dense again"


def test_gradient_accumulation(make_model, data, check):
    optimizer = keras.optimizers.Adam(0.02, gradient_accumulation_steps=2)
    model = make_model(run_eagerly=False, optimizer=optimizer)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            (int(optimizer.iterations), logs["sparsity"])
        )
    )
    fit(model, data, pruning(), watch, epochs=4)
    check(model)
    assert seen[-1][0] == 10 and {step for step, sparsity in seen if sparsity == 0} == {0, 1}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
@pytest.mark.quick_cases
def test_other_precisions(policy, make_model, data, check):
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # the default, orthogonal, has no kernel in bfloat16
        model = make_model(
            run_eagerly=False,
            optimizer=keras.optimizers.Adam(0.02),
            recurrent_initializer="glorot_uniform",
        )
    finally:
        keras.config.set_dtype_policy(with_policy)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (
        policy == "mixed_float16"
    )
    fit(model, data, pruning(), epochs=3)
    check(model)


def test_steps_that_a_loss_scale_skips_are_not_counted(make_model, data, check):
    inner = keras.optimizers.SGD(0.02)
    model = make_model(optimizer=keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127))
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            (int(inner.iterations), logs["sparsity"])
        )
    )
    fit(model, (data[0], 30 * data[1]), pruning(), watch, epochs=4)
    skipped = sum(a[0] == b[0] for a, b in zip(seen, seen[1:]))
    assert skipped > 0 and all((step >= 2) == (sparsity > 0) for step, sparsity in seen)
    check(model)


@pytest.mark.parametrize(("frequency", "wrapped"), [(None, False), (3, True)])
def test_moving_averages_are_masked_at_every_step(frequency, wrapped, make_model, data, check):
    inner = keras.optimizers.Adam(
        0.05, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency
    )
    model = make_model(
        "gru",
        run_eagerly=False,
        optimizer=keras.optimizers.LossScaleOptimizer(inner, 8.0) if wrapped else inner,
    )
    callback, seen = pruning(), []

    def look(batch, logs):
        for _, kernel in callback.named_kernels():
            (average,) = moving_averages(model.optimizer, kernel.kernel.variable)
            dead = ~kernel.grid.expand(kernel.live)
            seen.append(dead.mean())
            assert (
                not average.numpy()[dead].any() and not kernel.kernel.variable.numpy()[dead].any()
            )
            assert average.numpy()[~dead].all()

    # before the callback in the list, so that it sees what the compiled step has left
    fit(model, data, keras.callbacks.LambdaCallback(on_train_batch_end=look), callback)
    assert max(seen) > 0.5
    check(model, gates=3)  # the averages have become the weights by now


def test_an_existing_constraint_goes_first_and_comes_back(make_model, data, assert_sparse):
    class Shift(keras.constraints.Constraint):
        """Moves every weight, so that it shows if it were applied after the mask."""

        def __call__(self, w):
            return keras.ops.abs(w) + 0.5

        def get_config(self):
            return {}

    model = make_model("lstm", recurrent_constraint=Shift(), kernel_constraint="non_neg")
    before = [variable.constraint for variable in kernels(model)]
    fit(model, data, pruning())
    kernel, recurrent = (np.array(v.numpy()) for v in kernels(model))
    assert kernel.min() == 0 and recurrent[recurrent != 0].min() >= 0.5
    assert_sparse(kernels(model)[1], BLOCK, 4, 0.75)
    assert [variable.constraint for variable in kernels(model)] == before and all(before)


def test_the_model_stays_the_plain_model_that_it_was(make_model, data, tmp_path):
    model = make_model("gru", optimizer=keras.optimizers.Adam(0.02))
    config, weights, variables = model.get_config(), [v.path for v in model.weights], []

    def look(batch, logs):
        variables.append(([v.path for v in model.weights], len(model.optimizer.variables)))

    fit(model, data, pruning(), keras.callbacks.LambdaCallback(on_train_batch_end=look))
    assert model.get_config() == config
    # iterations, learning rate, and two moments of each of the five trainable variables
    assert all(entry == (weights, 2 + 2 * 5) for entry in variables)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for a, b in zip(model.weights, loaded.weights):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


class OwnStep(keras.Sequential):
    """A model with a training step of its own."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"mine": loss}


def own(model, kind):
    model = kind([keras.Input((2, 5)), *model.layers])
    model.compile(keras.optimizers.Adam(0.02))
    return model


def test_a_training_step_of_ones_own(make_model, data, check):
    model = own(make_model(), OwnStep)
    history = fit(model, data, pruning()).history
    check(model)
    assert set(history) == {"mine", "sparsity"}


def test_several_optimizers(make_model, data, check):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    mapping = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.02))
    mapping["sequential/rnn/.*"] = keras.optimizers.Adam(0.02, use_ema=True)
    model = make_model(optimizer=keras.optimizers.MultiOptimizer(mapping))
    fit(model, data, pruning())
    check(model)


def test_a_second_fit_goes_on(make_model, data, check):
    model, callback = make_model("gru"), pruning(PolynomialDecay(0.2, 0.75, 2, 12))
    with pytest.warns(UserWarning, match="Pruning is not finished"):
        fit(model, data, callback, epochs=1)
    halfway = {name: live for name, live in callback.masks.items()}
    first = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: first.append(dict(callback.masks))
    )
    fit(model, data, callback, look)
    for name, live in halfway.items():
        np.testing.assert_array_equal(first[0][name], live)
    check(model, gates=3)
    again = {name: live for name, live in callback.masks.items()}
    other = pruning(PolynomialDecay(0.2, 0.75, 2, 12))
    fit(model, data, other)
    check(model, gates=3)
    for name, live in again.items():
        np.testing.assert_array_equal(other.masks[name], live)


def test_a_pruned_model_that_is_compiled_anew_keeps_its_zero_blocks(make_model, data):
    model = make_model("gru", run_eagerly=False)
    fit(model, data, pruning())
    zero = [variable.numpy() == 0 for variable in kernels(model)]
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    worst = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: worst.append(
            max(abs(v.numpy()[z]).max() for v, z in zip(kernels(model), zero))
        )
    )
    with pytest.warns(UserWarning, match="Pruning is not finished"):
        fit(model, data, look, pruning(PolynomialDecay(0.0, 0.9, 100, 200)))
    assert max(worst) == 0.0


@pytest.mark.parametrize(
    ("initializer", "begin_step"), [("zeros", 0), ("zeros", 3), ("identity", 3)]
)
def test_initial_zeros_are_not_taken_for_a_pattern(
    initializer, begin_step, make_model, data, assert_sparse
):
    model = make_model(recurrent_initializer=initializer)
    fit(model, data, pruning(Constant(0.5, begin_step)))
    assert_sparse(kernels(model)[1], BLOCK, 1, 0.5)
