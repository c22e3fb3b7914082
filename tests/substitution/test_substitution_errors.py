"""Models, arguments and layers that are refused, and leave the model as it was."""

import keras
import numpy as np
import pytest
from keras import layers
from pruning import largest_difference, lstm_model, prune

from keras_sparse_rnn.substitution import substitute, to_dense


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.lstm = layers.LSTM(8)

    def call(self, x):
        return self.lstm(x)


REFUSED = [
    (
        lambda: "model.keras",
        "`model` must be a keras.Model. Received: model='model.keras' of type str",
    ),
    (
        lambda: keras.Sequential([layers.LSTM(8)], name="late"),
        "`model` must be built, for its weights decide which blocks live: give it an Input, or "
        "call it once. Received: the model 'late', which is not built",
    ),
]


@pytest.mark.parametrize("make, message", REFUSED)
@pytest.mark.parametrize("function", [substitute, to_dense])
def test_refuses_models(function, make, message):
    with pytest.raises(ValueError) as error:
        function(make())
    assert str(error.value) == message


@pytest.mark.filterwarnings("ignore:substitute. a Keras file of .* cannot be loaded:UserWarning")
@pytest.mark.parametrize("function", [substitute, to_dense])
def test_a_subclassed_model_is_refused_with_the_call_that_converts_it(function):
    model = Subclassed()
    model(np.zeros((2, 4, 8), "float32"))
    with pytest.raises(ValueError) as error:
        function(prune(model))
    name = function.__name__
    assert str(error.value) == (
        "`model` must be a Sequential or functional model to be copied: what a subclassed model "
        "computes stands in its code, which cannot be rebuilt. Convert it as it stands: "
        f"ksr.{name}(model, in_place=True). Received: the model 'mine' of class Subclassed"
    )
    assert function(model, in_place=True) is model


def test_refuses_a_model_without_recurrent_layers():
    with pytest.raises(ValueError) as error:
        substitute(keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="flat"))
    assert str(error.value) == (
        "`model` must have a recurrent layer (LSTM, GRU or SimpleRNN) to substitute. Received: "
        "the model 'flat' with layers of ['Dense']"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"block_shape": (4, 0)},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=(4, 0)",
        ),
        (
            {"storage": "sparse"},
            "`storage` must be one of 'packed', 'masked'. Received: storage='sparse'",
        ),
        (
            {"kernel": "fast"},
            "`kernel` must be one of 'auto', 'native', 'reference'. Received: kernel='fast'",
        ),
    ],
)
def test_refuses_arguments_and_leaves_the_model_alone(arguments, message):
    model = prune(lstm_model())
    model.compile("sgd", "mse")
    weights = model.get_weights()
    with pytest.raises(ValueError) as error:
        substitute(model, **arguments)
    assert str(error.value) == message
    assert model.compiled and largest_difference(weights, model.get_weights()) == 0.0


def test_a_layer_that_cannot_be_copied_is_named_and_the_model_stays_compiled():
    class Unsaved(keras.layers.Layer):
        def __init__(self, table):
            super().__init__(name="table")
            self.table = table
            self.inner = {"dense": layers.Dense(3)}

        def call(self, x):
            return self.inner["dense"](x)

    x = keras.Input((4, 8))
    model = prune(keras.Model(x, Unsaved(object())(layers.LSTM(8)(x))))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    # In between stands what Keras says.
    assert str(error.value).startswith(
        "The layer 'table' of class Unsaved cannot be copied from its config: "
    )
    assert str(error.value).endswith(
        "Nor can it be shared by two models, for it holds layers or variables: `inner['dense']`. "
        "Give the class a `get_config` that has every argument of its constructor; or cut the "
        "model in front of this layer, substitute the part before it, and call the layer on the "
        "result"
    )
    assert model.compiled
