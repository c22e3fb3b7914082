"""The block-sparse layers against Keras's own, on random weights with zero blocks."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import INPUTS, KERNELS, PARENTS, initial_state, inputs, random_mask, twins


def assert_same(expected, received, tolerance=3e-6):
    assert len(keras.tree.flatten(expected)) == len(keras.tree.flatten(received))
    for wanted, got in zip(keras.tree.flatten(expected), keras.tree.flatten(received)):
        assert wanted.dtype == got.dtype
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


# What Keras's layers, which have the same weights for every storage and kernel, have computed.
_OF_KERAS = {}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "cell, options",
    [("lstm", {}), ("gru", {}), ("gru", {"reset_after": False}), ("simple_rnn", {})],
)
@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.quick_cases(5)
def test_states_masks_and_directions(cell, options, storage, kernel):
    x, mask = inputs(), random_mask()
    for go_backwards in (False, True):
        expected, layer = twins(
            cell, storage, kernel, return_state=True, go_backwards=go_backwards, **options
        )
        known = _OF_KERAS.setdefault((cell, *options, go_backwards), {})
        for choice in itertools.product((False, True), repeat=3):
            sequences, masked, stated = choice
            expected.return_sequences = layer.return_sequences = sequences
            call = {
                "mask": mask if masked else None,
                "initial_state": initial_state(layer) if stated else None,
            }
            if choice not in known:
                known[choice] = expected(x, **call)
            assert_same(known[choice], layer(x, **call))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", PARENTS)
def test_without_return_state_and_bias(cell, kernel):
    expected, layer = twins(cell, "packed", kernel, use_bias=False)
    assert_same(expected(inputs()), layer(inputs()))
    assert layer.bias is None


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", PARENTS)
@pytest.mark.parametrize("go_backwards", [False, True])
def test_zero_output_for_mask(cell, go_backwards, kernel):
    arguments = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}
    expected, layer = twins(cell, "packed", kernel, go_backwards=go_backwards, **arguments)
    assert_same(expected(inputs(), mask=random_mask()), layer(inputs(), mask=random_mask()))


@pytest.mark.parametrize(
    "cell, arguments",
    [
        ("lstm", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
        ("lstm", {"activation": lambda x: 0.5 * x, "unroll": True}),
        ("lstm", {"recurrent_activation": "softsign", "unit_forget_bias": False}),
        ("gru", {"activation": "elu", "recurrent_activation": "hard_sigmoid"}),
        ("gru", {"activation": None, "reset_after": False, "use_bias": False}),
        ("simple_rnn", {"activation": "gelu"}),
        ("simple_rnn", {"activation": None}),
        ("lstm", {"implementation": 1, "use_cudnn": False}),
        ("gru", {"implementation": 1, "unroll": True, "bias_initializer": "ones"}),
    ],
)
@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_other_arguments(cell, arguments, storage):
    expected, layer = twins(cell, storage, "auto", return_sequences=True, **arguments)
    assert_same(expected(inputs(), mask=random_mask()), layer(inputs(), mask=random_mask()))


@pytest.mark.parametrize("kernel", KERNELS)
def test_simple_rnn_with_relu(kernel):
    expected, layer = twins(
        "simple_rnn", "packed", kernel, activation="relu", return_sequences=True
    )
    assert_same(expected(inputs()), layer(inputs()), tolerance=2e-5)


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize(
    "cell, rates",
    [
        ("lstm", {"dropout": 0.4}),
        ("gru", {"dropout": 0.4}),
        ("simple_rnn", {"dropout": 0.4}),
        ("lstm", {"recurrent_dropout": 0.4}),
        ("gru", {"dropout": 0.3, "recurrent_dropout": 0.4, "reset_after": False}),
        ("simple_rnn", {"dropout": 0.3, "recurrent_dropout": 0.4}),
        ("gru", {"dropout": 0.3, "implementation": 1, "use_cudnn": False}),
    ],
)
def test_dropout_draws_what_keras_draws(cell, rates, storage):
    expected, layer = twins(cell, storage, "auto", return_sequences=True, seed=3, **rates)
    reseed(expected, layer)
    wanted = expected(inputs(), training=True)
    assert_same(wanted, layer(inputs(), training=True))
    assert np.abs(wanted - expected(inputs(), training=False)).max() > 0.01
    assert_same(expected(inputs(), training=False), layer(inputs(), training=False))


def reseed(*layers):
    for layer in layers:
        layer.cell.seed_generator.state.assign([11, 13])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", PARENTS)
def test_stateful_carries_states_from_batch_to_batch_until_reset(cell, kernel):
    expected, layer = twins(cell, "packed", kernel, stateful=True, return_sequences=True)
    x, mask = inputs(), random_mask()
    first = layer(x, mask=mask)
    assert_same(expected(x, mask=mask), first)
    second = layer(x, mask=mask)
    assert_same(expected(x, mask=mask), second)
    assert np.abs(first - second).max() > 0.01
    layer.reset_state()
    assert_same(first, layer(x, mask=mask))


@pytest.mark.parametrize(
    "policy, tolerance", [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2), ("float64", 1e-6)]
)
@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_dtype_policies(policy, tolerance, storage):
    expected, layer = twins(
        "lstm", storage, "auto", dtype=policy, return_sequences=True, return_state=True
    )
    wanted, received = expected(inputs(), mask=random_mask()), layer(inputs(), mask=random_mask())
    assert [tensor.dtype for tensor in received] == [tensor.dtype for tensor in wanted]
    for one, other in zip(wanted, received):
        np.testing.assert_allclose(np.float64(one), np.float64(other), rtol=0, atol=tolerance)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_mixed_precision_computes_in_float32(storage):
    _, half = twins("gru", storage, "auto", dtype="mixed_float16", return_sequences=True)
    _, full = twins("gru", storage, "auto", return_sequences=True)
    x = inputs().astype("float16")
    np.testing.assert_allclose(np.float32(half(x)), full(np.float32(x)), rtol=0, atol=1e-3 / 2)


def test_unroll_needs_a_known_length_as_in_keras():
    _, layer = twins("lstm", unroll=True)
    call = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, INPUTS))])
    with pytest.raises(ValueError, match="Cannot unroll a RNN if the time dimension is undefined"):
        call.get_concrete_function()
