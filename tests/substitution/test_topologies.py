"""`substitute` and `to_dense` over models of many shapes: same predictions, same names, and the
original untouched.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import data, largest_difference, prune

from keras_sparse_rnn.layers import BlockSparseGRU, BlockSparseLSTM, BlockSparseSimpleRNN
from keras_sparse_rnn.substitution import substitute, to_dense

SPARSE = (BlockSparseGRU, BlockSparseLSTM, BlockSparseSimpleRNN)


def sequential():
    return keras.Sequential(
        [
            keras.Input((None, 7)),
            layers.LSTM(13, return_sequences=True),
            layers.GRU(11),
            layers.Dense(3),
        ]
    )


def sequential_built_late():
    model = keras.Sequential(
        [layers.SimpleRNN(13, return_sequences=True, activation="relu"), layers.LSTM(9)]
    )
    model.build((None, 4, 6))
    return model


def bidirectional():
    x = keras.Input((5, 7))
    h = layers.Bidirectional(layers.LSTM(9, return_sequences=True), merge_mode="sum", name="first")(
        x
    )
    backward = layers.GRU(8, go_backwards=True, return_sequences=True, name="other_way")
    h = layers.Bidirectional(
        layers.GRU(8, return_sequences=True), backward_layer=backward, name="second"
    )(h)
    h, *states = layers.Bidirectional(layers.LSTM(6, return_state=True), name="third")(h)
    return keras.Model(x, [h, *states])


def inputs_and_outputs_by_name():
    inputs = {name: keras.Input((None, 6), name=name) for name in ("a", "b")}
    h, *states = layers.LSTM(9, return_state=True)(inputs["a"])
    decoded = layers.LSTM(9, return_sequences=True)(inputs["b"], initial_state=states)
    outputs = {"last": layers.Dense(2, name="last")(h), "all": layers.Dense(3, name="all")(decoded)}
    return keras.Model(inputs, outputs)


def shared():
    lstm, dense = layers.LSTM(9, return_sequences=True, name="shared"), layers.Dense(9)
    one, other = keras.Input((5, 9)), keras.Input((5, 9))
    mixed = lstm(dense(lstm(one))) * lstm(other)
    return keras.Model([one, other], keras.ops.mean(mixed, axis=1) + mixed[:, 0])


def nested():
    encoder = keras.Sequential(
        [keras.Input((None, 6)), layers.GRU(9, return_sequences=True)], name="encoder"
    )
    x = keras.Input((None, 9))
    head = keras.Model(x, layers.Dense(2)(layers.SimpleRNN(8)(keras.ops.tanh(x))), name="head")
    x = keras.Input((5, 6))
    middle_in = keras.Input((None, 6))
    middle = keras.Model(middle_in, encoder(middle_in) + 1.0, name="middle")
    return keras.Model(x, [head(middle(x)), head(encoder(x))])


def time_distributed():
    inner = keras.Sequential([keras.Input((4, 6)), layers.LSTM(8), layers.Dense(5)], name="inner")
    x = keras.Input((3, 4, 6))
    y = layers.TimeDistributed(inner, name="sentences")(x)
    z = layers.TimeDistributed(layers.GRU(5), name="words")(x)
    return keras.Model(x, layers.LSTM(7)(layers.Concatenate()([y, z])))


def masked():
    x = keras.Input((5,), dtype="int32")
    h = layers.Embedding(7, 6, mask_zero=True)(x)
    h = layers.GRU(9, return_sequences=True, reset_after=False, dropout=0.2)(h)
    h = layers.BatchNormalization()(layers.Dropout(0.3)(h))
    return keras.Model(x, layers.LSTM(8, implementation=1, use_bias=False)(h))


def stateful():
    return keras.Sequential(
        [keras.Input(batch_shape=(6, 4, 6)), layers.LSTM(9, stateful=True), layers.Dense(2)]
    )


def with_lambda():
    def halve(x):
        return x / 2

    x = keras.Input((5, 6))
    return keras.Model(x, layers.Lambda(halve)(layers.LSTM(9, activation=halve)(x)))


def mixed_precision():
    x = keras.Input((5, 6))
    return keras.Model(
        x, layers.Dense(2, dtype="float32")(layers.LSTM(9, dtype="mixed_float16")(x))
    )


MODELS = [
    sequential,
    sequential_built_late,
    bidirectional,
    inputs_and_outputs_by_name,
    shared,
    nested,
    time_distributed,
    masked,
    stateful,
    mixed_precision,
]


def sparse_layers(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, SPARSE)]


def recurrent_layers(model):
    kinds = (layers.LSTM, layers.GRU, layers.SimpleRNN)
    return [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_there_and_back(make):
    model = prune(make())
    x = data(model)
    if make is stateful:
        model(x)  # so that there is a state to carry over
    weights, config = model.get_weights(), model.get_config()
    states = [state.numpy() for layer in recurrent_layers(model) for state in layer.states or ()]

    sparse = substitute(model, block_shape=(4, 4))
    assert len(sparse_layers(sparse)) == len(recurrent_layers(model)) and sparse.name == model.name
    assert [layer.name for layer in sparse_layers(sparse)] == [
        layer.name for layer in recurrent_layers(model)
    ]
    dense = to_dense(sparse)
    assert not sparse_layers(dense)
    assert [(variable.path, variable.shape) for variable in dense.weights] == [
        (v.path, v.shape) for v in model.weights
    ]
    assert all(
        np.array_equal(one, other) for one, other in zip(dense.get_weights(), weights, strict=True)
    )

    expected = model(x)
    assert largest_difference(expected, sparse(x)) < (2e-3 if make is mixed_precision else 3e-6)
    assert largest_difference(expected, dense(x)) == 0.0
    if make is not stateful:
        assert model.get_config() == config
        assert all(
            np.array_equal(one, other)
            for one, other in zip(model.get_weights(), weights, strict=True)
        )
    else:
        assert any(np.abs(state).max() > 0 for state in states)


def test_masked_storage_and_back():
    model = prune(bidirectional())
    sparse = substitute(model, (4, 4), storage="masked")
    assert {layer.storage for layer in sparse_layers(sparse)} == {"masked"}
    assert [variable.shape for variable in sparse.weights] == [
        variable.shape for variable in model.weights
    ]
    x = data(model)
    assert largest_difference(model(x), sparse(x)) < 3e-6
    packed = substitute(sparse)
    assert {(layer.storage, layer.block_shape) for layer in sparse_layers(packed)} == {
        ("packed", (4, 4))
    }
    assert largest_difference(model(x), packed(x)) < 3e-6
    assert largest_difference(model.get_weights(), to_dense(packed).get_weights()) == 0.0


def test_shared_layers_stay_shared():
    model = shared()
    sparse = substitute(prune(model), (4, 4))
    assert len(sparse_layers(sparse)) == 1 and len(sparse.get_layer("shared")._inbound_nodes) == 3
    assert len(sparse.weights) == len(model.weights) + 2  # the two lists of block numbers


def test_unregistered_functions_survive():
    model = prune(with_lambda())
    sparse = substitute(model, (4, 4), kernel="reference")
    x = data(model)
    assert largest_difference(model(x), sparse(x)) < 3e-6
    assert to_dense(sparse).layers[1].activation is model.layers[1].activation


def test_lambdas_survive():
    factor = 2.0
    x = keras.Input((5, 6))
    h = layers.Lambda(
        lambda x, plus: factor * x + plus, mask=lambda x, mask: x[..., 0] > 0, arguments={"plus": 1}
    )(x)
    h = layers.TimeDistributed(layers.Lambda(lambda x: np.pi * x, name="inner"))(h)
    h = layers.Lambda(
        lambda x, mask: x * tf.cast(mask[..., None], x.dtype), (5, 6), mask=lambda x, mask: mask
    )(h)
    model = prune(keras.Model(x, layers.LSTM(9)(h)))
    sparse = substitute(model, (4, 4))
    assert [type(layer) for layer in sparse.layers[:-1]] == [
        type(layer) for layer in model.layers[:-1]
    ]
    assert sparse.layers[1] is not model.layers[1] and sparse.layers[1].name == model.layers[1].name
    for one in (sparse, to_dense(sparse)):
        assert largest_difference(model(data(model)), one(data(model))) < 3e-6


def test_flags_of_frozen_layers_survive():
    model = prune(bidirectional())
    model.get_layer("first").trainable = False
    model.get_layer("second").forward_layer.cell.bias.trainable = False
    sparse = substitute(model, (4, 4))
    assert (
        not sparse.get_layer("first").trainable
        and not sparse.get_layer("first").trainable_variables
    )
    assert sparse.get_layer("first").forward_layer.trainable is False
    assert [len(layer.trainable_variables) for layer in sparse.layers] == [
        len(layer.trainable_variables) for layer in model.layers
    ]
    model.trainable = False
    assert substitute(model, (4, 4)).trainable_variables == []


def test_adapted_layers_keep_what_they_learnt():
    normalization, lookup = layers.Normalization(), layers.StringLookup()
    normalization.adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, 5, 6)))
    lookup.adapt(["a", "b", "c", "b"])
    x, words = keras.Input((5, 6)), keras.Input((), dtype="string")
    embedded = layers.Embedding(5, 9)(lookup(words))
    model = prune(keras.Model([x, words], layers.LSTM(9)(normalization(x)) + embedded))
    sparse = substitute(model, (4, 4))
    x = [
        keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 5, 6))),
        keras.ops.convert_to_tensor(["b", "c", "x"]),
    ]
    assert largest_difference(model(x), sparse(x)) < 3e-6


def test_a_functional_class_of_its_own_is_kept_if_its_constructor_allows():
    class Mine(keras.Model):
        def answer(self):
            return 42

    x = keras.Input((5, 6))
    assert substitute(prune(Mine(x, layers.LSTM(9)(x))), (4, 4)).answer() == 42

    class Fixed(keras.Model):
        def __init__(self, units):
            inputs = keras.Input((5, 6))
            super().__init__(inputs, layers.LSTM(units)(inputs), name="fixed")

    model = prune(Fixed(9))
    with pytest.warns(
        UserWarning,
        match=r"^'fixed' of class Fixed becomes a plain keras.Model: its constructor does not take",
    ):
        sparse = substitute(model, (4, 4))
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6
