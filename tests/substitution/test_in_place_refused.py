"""What would go on with an old layer is refused, and the model stays as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import largest_difference, prune
from subclassing import NOT_LOADABLE, Small, built, x_of

from keras_sparse_rnn.substitution import substitute

pytestmark = pytest.mark.filterwarnings(NOT_LOADABLE)


class InAClosure(Small):
    def __init__(self):
        super().__init__()
        lstm = self.lstm
        self.run = lambda x: lstm(x)

    def call(self, x):
        return self.run(x)


class InAnObject(Small):
    def __init__(self):
        super().__init__()
        self.box = type("Box", (), {})()
        self.box.content = {"it": [self.lstm]}

    def call(self, x):
        return self.box.content["it"][0](x)


class InAListOfVariables(Small):
    def __init__(self):
        super().__init__()
        self.lstm.name = "lstm"

    def build(self, shape):
        self.lstm.build(shape)
        self.penalised = list(self.lstm.trainable_variables)


class Traced(Small):
    @tf.function
    def call(self, x):
        return self.lstm(x)


class TracedInAttribute(Small):
    def __init__(self):
        super().__init__()
        self.run = tf.function(lambda x: self.lstm(x))

    def call(self, x):
        return self.run(x)


ENDING = ". Hold layers in attributes of the model, or in lists and dicts in them, only"
REFUSED = {
    InAClosure: "Layers of 'mine' of class InAClosure cannot be replaced: `run.__closure__` holds "
    "'lstm' where it cannot be replaced" + ENDING,
    InAnObject: "Layers of 'mine' of class InAnObject cannot be replaced: `box.content['it'][0]` "
    "holds 'lstm' where it cannot be replaced" + ENDING,
    InAListOfVariables: "Layers of 'mine' of class InAListOfVariables cannot be replaced: "
    "`penalised[0]` holds the variable 'mine/lstm/lstm_cell/kernel' of one of them. Ask the layer "
    "for its variables where they are used",
    Traced: "'mine' of class Traced cannot be converted in place: its `call` is a tf.function, "
    "which may go on with the old layers. Take the decorator off: Keras compiles by itself",
    TracedInAttribute: "Layers of 'mine' of class TracedInAttribute cannot be replaced: `run` is a "
    "tf.function, which may go on with the old ones: Keras compiles by itself" + ENDING,
}


@pytest.mark.parametrize(
    "make, message", REFUSED.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_what_would_go_on_with_an_old_layer_is_refused_and_the_model_stays_as_it_was(make, message):
    model = built(make())
    model.lstm.name = "lstm"
    model.compile("sgd", "mse", run_eagerly=True)
    lstm, expected, count = model.lstm, model(x_of()), model.count_params()
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4), in_place=True)
    assert str(error.value) == message
    assert model.lstm is lstm and model.layers == [lstm] and model.compiled
    assert model.count_params() == count
    assert largest_difference(expected, model(x_of())) == 0.0
    model.fit(x_of(), np.zeros((6, 8)), verbose=0)


def test_a_subclassed_model_whose_compile_is_its_own_is_left_uncompiled():
    class Own(Small):
        def compile(self, optimizer, teacher):
            super().compile(optimizer, loss="mse", run_eagerly=True)

    model = built(Own())
    model.compile("sgd", teacher=None)
    with pytest.warns(UserWarning, match="^'mine' is not compiled: its class Own has its own"):
        substitute(model, (4, 4), in_place=True)
    assert not model.compiled
    model.compile("sgd", teacher=None)
    model.fit(x_of(), np.zeros((6, 8)), verbose=0)


def test_in_place_is_for_subclassed_models():
    model = prune(keras.Sequential([keras.Input((5, 9)), layers.LSTM(8)], name="plain"))
    with pytest.raises(ValueError) as error:
        substitute(model, in_place=True)
    assert str(error.value) == (
        "`in_place` must be False for a Sequential or functional model, which is copied and stays "
        "as it is: new = ksr.substitute(model). Received: in_place=True, the model 'plain' of "
        "class Sequential"
    )


@tf.function
def swish(x):
    return x * tf.sigmoid(x)


class Helped(Small):
    """Has an activation that calls a `tf.function` of a module."""

    def __init__(self):
        super().__init__()
        self.activation = lambda x: swish(x)

    def call(self, x):
        return self.activation(self.lstm(x))


def test_a_function_that_reads_no_layer_may_be_traced():
    model = built(Helped())
    expected = model(x_of())
    substitute(model, in_place=True)
    np.testing.assert_allclose(model(x_of()), expected, atol=1e-5)
