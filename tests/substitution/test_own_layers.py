"""A layer of a user's own is copied from its config; a copy that computes something else, for the
config is not the whole truth, is refused.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import data, largest_difference, prune

from keras_sparse_rnn.substitution import substitute, to_dense

REFUSED = (
    "cannot be copied: its copy, made from its config with the same weights, computes something "
    "else. All that it computes with must be an argument of its constructor that stands in its "
    "`get_config`, or a weight that Keras knows of (`add_weight`)"
)


class Untracked(layers.Layer):
    """As GraphConv of https://keras.io/examples/timeseries/timeseries_traffic_forecasting."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.weight = tf.Variable(keras.initializers.GlorotUniform()((8, units)))

    def call(self, x):
        return tf.matmul(x, self.weight)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Constant(layers.Layer):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.table = np.random.normal(size=(8, units)).astype("float32")

    def call(self, x):
        return keras.ops.matmul(x, self.table)

    def compute_output_shape(self, shape):
        return shape


class Scale(layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor


class Encoder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Untracked()
        self.lstm = layers.LSTM(8, return_sequences=True)

    def call(self, x):
        return self.lstm(self.first(x))


def around(layer, shape=(5, 8), **options):
    x = keras.Input(shape, **options)
    return prune(keras.Model(x, layers.LSTM(8)(layer(x)), name="mine"))


def scaled():
    layer = Scale(name="it")
    model = around(layer)
    layer.factor = 0.1
    return model


CASES = {
    "a variable that Keras does not track": (
        lambda: around(Untracked(name="it")),
        f"The layer 'it' of class Untracked {REFUSED}, as it does not of the tf.Variable `weight`",
    ),
    "a constant of its own": (
        lambda: around(Constant(name="it")),
        f"The layer 'it' of class Constant {REFUSED}",
    ),
    "an attribute that was set later": (scaled, f"The layer 'it' of class Scale {REFUSED}"),
    "in a wrapper": (
        lambda: around(layers.TimeDistributed(Constant(), name="it")),
        f"The layer 'it' of class TimeDistributed {REFUSED}",
    ),
    "beside a layer that is replaced": (
        lambda: around(Encoder(name="it")),
        f"The layer 'it' of class Encoder {REFUSED}, as it does not of the tf.Variable "
        "`first.weight`",
    ),
    "in a nested model": (
        lambda: around(keras.Sequential([keras.Input((5, 8)), Constant(name="it")])),
        f"The layer 'it' of class Constant {REFUSED}",
    ),
}


@pytest.mark.parametrize("make, message", CASES.values(), ids=CASES)
def test_a_copy_that_computes_something_else_is_refused(make, message):
    keras.utils.set_random_seed(0)
    model = make()
    for function in (lambda model: substitute(model, (4, 4)), to_dense):
        with pytest.raises(ValueError) as error:
            function(model)
        assert str(error.value) == message


@pytest.mark.filterwarnings("ignore:substitute. a Keras file of .* cannot be loaded:UserWarning")
def test_layers_whose_config_is_the_whole_truth_are_copied_also_where_weights_are_rounded():
    class Encoder(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.lstm, self.noise = layers.LSTM(8, return_sequences=True), layers.GaussianNoise(1.0)
            self.scale = Scale(0.3)

        def call(self, x, training=False):
            return self.noise(self.lstm(self.scale(x)), training=training)

    model = around(Encoder())
    x = data(model)
    assert largest_difference(model(x), substitute(model, (4, 4))(x)) < 1e-6
    assert largest_difference(model(x), substitute(model, (4, 4), weights="int8")(x)) < 0.1


def test_floats_that_are_tokens_are_compared_too():
    class Tokens(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.embedding = layers.Embedding(3, 8)
            self.shift = np.random.normal()

        def call(self, x):
            return self.embedding(x) + self.shift

    with pytest.raises(ValueError, match="^The layer 'it' of class Tokens cannot be copied: its c"):
        substitute(around(Tokens(name="it"), (None,)), (4, 4))


class Random(Scale):
    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


class OfLength(Scale):
    def call(self, x):
        if isinstance(x, tf.Tensor) and tf.executing_eagerly() and x.shape[1] != 7:
            raise ValueError("seven steps")
        return x


@pytest.mark.parametrize(
    "kind, reason",
    [(Random, "it predicts at random"), (OfLength, "ValueError: ")],
)
def test_what_cannot_be_compared_is_named(kind, reason):
    model = around(kind(name="it"), (None, 8))
    with pytest.warns(UserWarning) as warned:
        substitute(model, (4, 4))
    (text,) = [str(one.message) for one in warned]
    assert text.startswith(
        f"'it' of class {kind.__name__} is copied from its config, but what it computes on random "
        f"inputs could not be compared with the original ({reason}"
    )
    assert text.endswith("): compare the predictions of both models on your data.")
    assert warned[0].filename == __file__


def test_nothing_is_changed_by_the_comparison():
    class Counting(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign_add(1.0)
            return x + self.count

    layer = Counting()
    model = around(layer)
    before, nodes = float(layer.count), len(layer._inbound_nodes)
    sparse = substitute(model, (4, 4))
    assert float(layer.count) == float(sparse.layers[1].count) == before
    assert len(layer._inbound_nodes) == nodes and not model.losses


class Twice(layers.Layer):
    def call(self, x):
        return x * 2.0


def test_layers_in_what_is_copied_whole_are_compared_with_it():
    inner = keras.Sequential([keras.Input((16,)), layers.Dense(16), Twice()])
    model = keras.Sequential(
        [
            keras.Input((10, 8)),
            layers.LSTM(16, return_sequences=True),
            layers.TimeDistributed(inner),
        ]
    )
    prune(model)
    x = data(model)
    assert largest_difference(model(x), substitute(model)(x)) < 1e-5


class Counting(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = tf.Variable(0.0)

    def call(self, x):
        return x + 0.0 * self.calls.assign_add(1.0)


def test_the_comparison_leaves_variables_of_tensorflow_as_they_were():
    model = keras.Sequential([keras.Input((10, 8)), layers.LSTM(16), Counting()])
    prune(model)
    model.layers[-1].calls.assign(7.0)
    substitute(model)
    assert model.layers[-1].calls.numpy() == 7.0
