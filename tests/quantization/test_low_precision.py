"""Arguments of `LowPrecision`, its config, and what is refused."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn import layers
from keras_sparse_rnn.quantization import LowPrecision

REFUSED = [
    ({"weight_bits": 0}, "`weight_bits` must be an integer from 1 to 8. Received: weight_bits=0"),
    ({"weight_bits": 9}, "`weight_bits` must be an integer from 1 to 8. Received: weight_bits=9"),
    (
        {"weight_bits": True},
        "`weight_bits` must be an integer from 1 to 8. Received: weight_bits=True",
    ),
    (
        {"weight_bits": 4.0},
        "`weight_bits` must be an integer from 1 to 8. Received: weight_bits=4.0",
    ),
    (
        {"activation_bits": 16},
        "`activation_bits` must be an integer from 1 to 8, or None. Received: activation_bits=16",
    ),
    ({"ridge": -0.1}, "`ridge` must be a number of at least 0. Received: ridge=-0.1"),
    (
        {"ridge": float("nan")},
        "`ridge` must be a number of at least 0. Received: ridge=nan",
    ),
    (
        {"method": "ste"},
        "`method` must be one of 'denoising', 'straight_through'. Received: method='ste'",
    ),
    ({"form": "cubic"}, "`form` must be one of 'linear', 'affine'. Received: form='cubic'"),
    (
        {"sparsity": 1.0},
        "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=1.0",
    ),
    (
        {"form": "affine", "sparsity": 0.5},
        '`form` must be "linear" with a `sparsity`: the affine form gives blocks that are left '
        "out an offset. Received: form='affine', sparsity=0.5",
    ),
]


@pytest.mark.parametrize("arguments, message", REFUSED)
def test_what_cannot_be_is_refused_in_words(arguments, message):
    with pytest.raises(ValueError) as error:
        LowPrecision(**arguments)
    assert str(error.value) == message


def test_it_comes_back_from_its_config():
    low = LowPrecision(4, 8, "straight_through", "affine", 0.5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(low))
    assert again == low and hash(again) == hash(low) and again != LowPrecision(4, 8)
    assert repr(low) == (
        "LowPrecision(weight_bits=4, activation_bits=8, method='straight_through', form='affine', "
        "ridge=0.5)"
    )
    assert eval(repr(low)) == low


LAYERS_REFUSE = [
    (
        {"weights": "int8", "low_precision": LowPrecision(4)},
        '`weights` must be "float32" with `low_precision`, which trains float weights: substitute '
        "the trained model with these weights. Received: weights='int8', "
        "low_precision=LowPrecision(weight_bits=4)",
    ),
    (
        {"low_precision": 4},
        "`low_precision` must be a ksr.quantization.LowPrecision or None. Received: "
        "low_precision=4",
    ),
    (
        {"low_precision": LowPrecision(4, sparsity=0.5)},
        '`storage` must be "masked" with a `low_precision` of some `sparsity`, for blocks that are '
        "left out keep their weights. Received: storage='packed', "
        "low_precision=LowPrecision(weight_bits=4, sparsity=0.5)",
    ),
]


@pytest.mark.parametrize("arguments, message", LAYERS_REFUSE)
def test_layers_refuse_what_does_not_go_with_it(arguments, message):
    for layer in (layers.BlockSparseGRU, layers.BlockSparseDense):
        with pytest.raises(ValueError) as error:
            layer(16, **arguments)
        assert str(error.value) == message


@pytest.mark.parametrize(
    "dropout", [{"recurrent_dropout": 0.1}, {"dropout": 0.1, "implementation": 1}]
)
def test_rounded_states_and_dropout_between_steps_are_refused(dropout):
    low = LowPrecision(4, 4)
    layer = layers.BlockSparseLSTM(16, low_precision=low, name="lstm", **dropout)
    with pytest.raises(ValueError) as error:
        layer(np.zeros((1, 2, 16), "float32"))
    assert str(error.value) == (
        "`activation_bits` must be None with dropout between time steps (`recurrent_dropout`, or "
        "`dropout` with `implementation=1`), which trains in Keras's own loop. Received: the layer "
        "'lstm' with low_precision=LowPrecision(weight_bits=4, activation_bits=4)"
    )


def test_the_native_op_for_rounded_states_is_refused():
    layer = layers.BlockSparseGRU(16, low_precision=LowPrecision(4, 4), kernel="native", name="gru")
    with pytest.raises(ValueError) as error:
        layer(np.zeros((1, 2, 16), "float32"))
    assert str(error.value) == (
        "`kernel=\"native\"` cannot be had for the layer 'gru': the native ops do not round inputs "
        'and states for training at few bits. `kernel="auto"` would take the reference.'
    )
