"""Training under float16 and bfloat16 policies: the kernels are computed with in float32, the rest
of the model in the policy's dtype.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import NATIVE, PARENTS

from keras_sparse_rnn import callbacks, layers, ops, schedules, substitute, to_dense

POLICIES = ["mixed_float16", "mixed_bfloat16"]
STORAGES = ["packed", "masked"]
QUICK = [("lstm", "packed", "mixed_float16"), ("gru", "masked", "mixed_bfloat16")]
UNITS, TIME, FEATURES = 24, 7, 5


def combinations(*values, quick):
    """Parameters of every combination; those that are not `quick` are slow."""
    return [
        pytest.param(*each, marks=() if each in quick else pytest.mark.slow)
        for each in itertools.product(*values)
    ]


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(3)


def data(batch=16):
    x = np.random.default_rng(0).normal(size=(batch, TIME, FEATURES)).astype("float32")
    return x, np.tanh(x.sum(axis=(1, 2), keepdims=True))[:, 0]


def sparse_model(cell, storage, policy, **options):
    recurrent = PARENTS[cell][1](
        UNITS, (4, 8), sparsity=0.5, storage=storage, dtype=policy, **options
    )
    head = layers.BlockSparseDense(8, (4, 4), sparsity=0.5, storage=storage, dtype=policy)
    return keras.Sequential(
        [keras.Input((TIME, FEATURES)), recurrent, head, keras.layers.Dense(1, dtype="float32")]
    )


@functools.cache
def losses_of_training(cell, storage, dtype):
    keras.utils.set_random_seed(3)
    model = sparse_model(cell, storage, dtype)
    optimizer = keras.optimizers.Adam(0.02)
    if dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)
    model.compile(optimizer, "mse")
    losses = model.fit(*data(), epochs=12, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert all(weights.dtype in ("float32", "int32") for weights in model.get_weights())
    return losses


@pytest.mark.parametrize(
    "cell, storage, policy", combinations(PARENTS, STORAGES, POLICIES, quick=QUICK[1:])
)
def test_fit_learns_what_float32_learns(cell, storage, policy):
    expected, received = (losses_of_training(cell, storage, dtype) for dtype in ("float32", policy))
    assert received[-1] < 0.5 * received[0]
    np.testing.assert_allclose(received, expected, rtol=0.15, atol=0.02)


@pytest.mark.parametrize("storage", ["packed", pytest.param("masked", marks=pytest.mark.slow)])
def test_keras_scales_the_loss_by_itself_and_skips_steps_that_overflow(storage):
    model = sparse_model("lstm", storage, "mixed_float16")
    model.layers[-1].dtype_policy = "mixed_float16"
    model.dtype_policy = "mixed_float16"
    model.compile("adam", "mse")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    x, y = data()
    before = model.get_weights()
    model.train_on_batch(1e30 * x, y)  # infinite in float16
    assert all(
        np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True)
    )
    scale = float(model.optimizer.dynamic_scale)
    assert scale < model.optimizer.initial_scale
    losses = model.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("cell", PARENTS)
def test_gradients_are_those_of_float32_to_the_precision_of_the_outputs(cell, storage, policy):
    found = []
    for dtype in ("float32", policy):
        keras.utils.set_random_seed(3)
        layer = PARENTS[cell][1](
            UNITS, (4, 8), sparsity=0.5, storage=storage, dtype=dtype, return_sequences=True
        )
        x, _ = data()
        layer.build(x.shape)
        with tf.GradientTape() as tape:
            outputs = layer(x)
            loss = tf.reduce_sum(
                tf.cast(outputs, tf.float32) * np.random.default_rng(1).normal(size=outputs.shape)
            )
        assert outputs.dtype == layer.compute_dtype
        found.append(
            [
                tf.convert_to_tensor(g)
                for g in tape.gradient(loss, [v.value for v in layer.trainable_variables])
            ]
        )
    for expected, received in zip(*found, strict=True):
        assert received.dtype == tf.float32
        tolerance = (
            0.02 if policy == "mixed_bfloat16" else 0.003
        )  # a few roundings of 2**-8, 2**-11
        np.testing.assert_allclose(
            received, expected, rtol=0, atol=tolerance * np.abs(expected).max()
        )


@pytest.mark.skipif(not NATIVE, reason="the native library was not built")
@pytest.mark.parametrize("policy", [*POLICIES, "float16", "bfloat16"])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_native_ops_run_under_every_policy(storage, policy):
    # TensorFlow has no orthogonal matrices in bfloat16.
    model = sparse_model(
        "gru", storage, policy, kernel="native", recurrent_initializer="glorot_uniform"
    )
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(*data()))
    assert ops.why_not_native("gru", dtype=model.layers[0].compute_dtype) is None


@pytest.mark.parametrize(
    "storage, policy", combinations(STORAGES, POLICIES, quick=[one[1:] for one in QUICK])
)
@pytest.mark.quick_cases
def test_a_model_of_mixed_precision_is_pruned_and_substituted_and_goes_back(storage, policy):
    layer = keras.layers.LSTM(UNITS, dtype=policy)
    model = keras.Sequential(
        [keras.Input((TIME, FEATURES)), layer, keras.layers.Dense(1, dtype=policy)]
    )
    model.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02), initial_scale=8.0), "mse"
    )
    x, y = data()
    masked = substitute(model, (4, 8), storage="masked")
    pruning = callbacks.BlockPruning(
        schedules.PolynomialDecay(0.0, 0.75, 2, 8), (4, 8), frequency=2
    )
    masked.fit(x, y, batch_size=4, epochs=4, verbose=0, callbacks=[pruning])
    model = to_dense(masked)
    sparse = substitute(model, (4, 8), storage=storage)
    assert type(sparse.optimizer) is type(model.optimizer)
    assert sparse.layers[0].compute_dtype == layer.compute_dtype
    kernel = sparse.layers[0].dense_kernels()[1]
    assert 0.7 < np.mean(kernel == 0) < 0.8
    tolerance = 0.03 if policy == "mixed_bfloat16" else 0.004
    received, expected = (
        one.predict(x, verbose=0).astype("float32") for one in (sparse, model)
    )  # NumPy 1 does not compare bfloat16
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance)
    losses = sparse.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    if storage == "packed":
        back = to_dense(sparse).layers[0].cell.recurrent_kernel.numpy()
        assert not back[kernel == 0].any() and back.dtype == np.float32
