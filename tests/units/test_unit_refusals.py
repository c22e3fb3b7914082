"""What cannot be seen through is refused in words, and nothing is changed."""

import keras
import numpy as np
import pytest
from dead_units import X, change, functional, randomized, sequential

import keras_sparse_rnn as ksr

layers = keras.layers
START = "`model` must be made of layers through which units can be followed, or what reads them "
START += "would not be known: "


class Own(layers.Layer):
    def call(self, x):
        return x[..., ::-1]

    def compute_output_shape(self, shape):
        return shape


class OwnCell(layers.LSTMCell):
    pass


def twice(x):
    x = layers.LSTM(5, return_sequences=True)(x)
    again = layers.Dense(5, name="again")
    return layers.Dense(2)(again(again(x)))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda x: layers.Lambda(lambda y: y[..., ::-1], name="turn")(layers.LSTM(5)(x)),
            "'turn' (Lambda) is a function of your own, which may do anything with what it is "
            "given",
        ),
        (
            lambda x: Own(name="own")(layers.LSTM(5)(x)),
            "'own' (Own) is of a class of your own, whose code may do anything with the units "
            "that it is given",
        ),
        (
            lambda x: layers.TimeDistributed(Own(name="own"))(layers.Dense(5)(x)),
            "'own' (Own) is of a class of your own, whose code may do anything with the units "
            "that it is given",
        ),
        (
            lambda x: layers.Dense(2)(layers.RNN(OwnCell(5, name="cell"))(x)),
            "'cell' (OwnCell) is of a class of your own, whose code may do anything with the units "
            "that it is given",
        ),
        (twice, "'again' (Dense) is called more than once"),
        (
            lambda x: layers.Dense(2)(
                layers.LSTM(5, name="a")(x, initial_state=list(np.zeros((2, 1, 5), "float32")))
            ),
            "'a' (LSTM) is given an initial state that is no tensor of the model",
        ),
    ],
)
def test_a_layer_that_cannot_be_seen_through(make, why):
    model = functional(make)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(model)
    assert str(error.value) == f"{START}{why}. Received: the model {model.name!r}"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_a_model_of_ones_own():
    class Model(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(Model(name="mine"))
    assert str(error.value) == (
        "`model` must be Sequential or functional: what reads the units of a layer stands in its "
        "graph. Received: the model 'mine' of class Model"
    )


def test_a_functional_model_with_a_call_of_its_own():
    class Model(keras.Model):
        def call(self, x, training=False):
            return 2 * super().call(x)

    inputs = keras.Input((6, 5))
    model = Model(inputs, layers.Dense(2)(layers.GRU(4)(inputs)), name="mine")
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(model)
    assert str(error.value) == (
        f"{START}'mine' (Model) is of a class of your own, whose code may do anything with the "
        "units that it is given. Received: the model 'mine'"
    )


def test_a_model_that_is_not_built():
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(keras.Sequential([layers.LSTM(5)], name="m"))
    assert str(error.value) == (
        "`model` must be built, for its weights decide which units are dead: give it an Input, or "
        "call it once. Received: the model 'm', which is not built"
    )


def test_a_layer_of_which_nothing_is_left():
    model = sequential(layers.LSTM(5, name="a"), layers.Dense(2))
    change(model.layers[-1], 0, 0.0, slice(None))
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(model)
    assert str(error.value) == (
        "`model` must keep a unit in each layer, for Keras has no layers of none. Nothing that the "
        "model returns depends on the units of 'a' (LSTM), so the layer itself can go. Received: "
        f"the model {model.name!r}"
    )


def test_quantized_weights():
    model = sequential(layers.LSTM(32, name="a"), layers.Dense(2))
    change(model.layers[0], 1, 0.0, slice(16))
    model = ksr.substitute(model, (16, 16), weights="int8")
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(model)
    assert str(error.value) == (
        f"{START}'a' (BlockSparseLSTM) has int8 weights, which cannot be cut. Remove the units of "
        f"the float32 model, and substitute after that. Received: the model {model.name!r}"
    )


def test_training_at_few_bits():
    """The scale of each output is that of all its weights: without some it would be another one."""
    model = sequential(layers.LSTM(32, name="a"), layers.Dense(2))
    change(model.layers[0], 1, 0.0, slice(16))
    low = ksr.quantization.LowPrecision(weight_bits=2)
    sparse = ksr.substitute(model, (16, 16), storage="masked", low_precision=low)
    whole = ksr.remove_dead_units(sparse)
    assert whole.layers[0].low_precision == low
    np.testing.assert_allclose(whole(X), sparse(X), atol=1e-6)
    change(sparse.layers[-1], 0, 0.0, slice(16))
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(sparse)
    assert str(error.value) == (
        f"{START}'a' (BlockSparseLSTM) trains at few bits with LowPrecision(weight_bits=2), and "
        "would round the weights that stay in another way. Remove the units before you substitute "
        "with `low_precision`, or those of `ksr.substitute(model)`, whose float32 weights are the "
        f"rounded ones. Received: the model {sparse.name!r}"
    )
    rounded = ksr.substitute(sparse)
    small = ksr.remove_dead_units(rounded)
    assert small.layers[0].units == 16
    np.testing.assert_allclose(small(X), sparse(X), atol=1e-6)


def test_a_regularizer_that_knows_units_by_their_places():
    moduli = ksr.regularizers.TrainableModuli(ksr.manifolds.Torus(), strength=0.1)
    model = sequential(layers.SimpleRNN(5, recurrent_regularizer=moduli, name="a"), layers.Dense(2))
    change(model.layers[0], 1, 0.0, 1)
    change(model.layers[-1], 0, 0.0, 1)
    with pytest.raises(ValueError) as error:
        ksr.remove_dead_units(model)
    assert str(error.value) == (
        f"{START}'a' (SimpleRNN) has a `recurrent_regularizer` with weights of its own, which "
        "knows each unit by its place. Remove the units of a model without it. Received: the "
        f"model {model.name!r}"
    )


@pytest.mark.skipif(
    not hasattr(layers, "ReversibleEmbedding"), reason="this Keras has no ReversibleEmbedding"
)
def test_an_embedding_that_can_be_reversed_keeps_all_of_its_columns():
    inputs = keras.Input((6,), dtype="int32")
    y = layers.ReversibleEmbedding(9, 4, name="e")(inputs)
    model = randomized(keras.Model(inputs, layers.Dense(2, name="d")(y)))
    change(model.get_layer("d"), 0, 0.0, 1)
    assert ksr.remove_dead_units(model).get_layer("e").output_dim == 4


def test_a_layer_of_keras_that_is_not_known_keeps_what_it_reads():
    def make(x):
        y = layers.LSTM(4, return_sequences=True, name="a")(x)
        z = layers.MultiHeadAttention(1, 2)(y, y)
        return layers.Dense(2)(keras.ops.mean(z, axis=1))

    model = randomized(functional(make))
    change(model.get_layer("a"), 1, 0.0, 1)
    assert ksr.remove_dead_units(model).get_layer("a").units == 4
