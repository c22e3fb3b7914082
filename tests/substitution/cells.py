"""Models whose code, or whose layers, step Keras's cells."""

import keras
import numpy as np
from keras import layers

TIME, INPUTS, UNITS = 5, 6, 9
CELLS = {"lstm": layers.LSTMCell, "gru": layers.GRUCell, "simple_rnn": layers.SimpleRNNCell}


class FeedBack(keras.Model):
    """As in TensorFlow's tutorial on time series: an RNN warms up the cell, which goes on alone."""

    def __init__(self, cell="lstm", **options):
        super().__init__(name="feedback")
        self.cell = CELLS[cell](UNITS, name="cell", **options)
        self.rnn = layers.RNN(self.cell, return_state=True, name="rnn")
        self.dense = layers.Dense(INPUTS, name="dense")

    def call(self, inputs, training=None):
        x, *state = self.rnn(inputs, training=training)
        predictions = [self.dense(x)]
        for _ in range(3):
            x, state = self.cell(predictions[-1], states=state, training=training)
            predictions.append(self.dense(x))
        return keras.ops.stack(predictions, axis=1)


class Decoder(keras.Model):
    """A loop of its own around a cell that nothing else holds."""

    def __init__(self, cell="gru", **options):
        super().__init__(name="decoder")
        self.cell, self.dense = CELLS[cell](UNITS, **options), layers.Dense(2)

    def call(self, x, training=None):
        state = self.cell.get_initial_state(batch_size=keras.ops.shape(x)[0])
        for step in range(TIME):
            output, state = self.cell(x[:, step], state, training=training)
        return self.dense(output)


@keras.saving.register_keras_serializable(package="tests")
class Attending(layers.Layer):
    """A cell of somebody's own, with a Keras cell and another layer inside."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size, self.output_size = units, [units, units], units
        self.cell = layers.LSTMCell(units, name="cell")
        self.gate = layers.Dense(INPUTS, activation="sigmoid", name="gate")

    def build(self, input_shape):
        self.cell.build(input_shape)
        self.gate.build((input_shape[0], self.units))

    def call(self, inputs, states, training=False):
        return self.cell(inputs * self.gate(states[0]), states, training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Subclassed(keras.Model):
    """A layer around somebody's own cell, in a model that is converted as it stands."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.rnn = layers.TimeDistributed(layers.RNN([Attending(UNITS), layers.GRUCell(4)]))

    def call(self, x, training=None):
        return self.rnn(x[:, None], training=training)


def functional(make, **options):
    """A functional model around the layer, or the layers' outputs, that `make` makes."""
    x = keras.Input((TIME, INPUTS), **options)
    return keras.Model(x, layers.Dense(2)(make(x)), name="functional")


def stack(**options):
    """A layer around a cell of each kind."""
    return layers.RNN([make(UNITS) for make in CELLS.values()], name="stack", **options)


def shared(x):
    """Two layers around one cell, one of which reads backwards."""
    cell = layers.GRUCell(UNITS, name="shared")
    one, other = layers.RNN(cell), layers.RNN(cell, go_backwards=True)
    return layers.Concatenate()([one(x), other(x)])


def shared_stacks(x):
    """Two stacks that have a cell in common."""
    common = layers.LSTMCell(UNITS)
    one, other = layers.RNN([common, layers.GRUCell(4)]), layers.RNN([common])
    return layers.Concatenate()([one(x), other(x)])


MODELS = {
    "feedback, lstm": FeedBack,
    "feedback, gru": lambda: FeedBack("gru"),
    "feedback, simple_rnn": lambda: FeedBack("simple_rnn"),
    "alone": Decoder,
    "stack": lambda: functional(stack()),
    "stateful stack": lambda: functional(stack(stateful=True), batch_size=4),
    "stack, both ways": lambda: functional(layers.Bidirectional(stack(return_sequences=True))),
    "own cell": lambda: functional(layers.RNN(Attending(UNITS))),
    "own cell, both ways": lambda: functional(layers.Bidirectional(layers.RNN(Attending(UNITS)))),
    "own cell in a subclassed model": Subclassed,
    "shared by two layers": lambda: functional(shared),
    "shared by two stacks": lambda: functional(shared_stacks),
}


def x_of(batch=4):
    return np.random.default_rng(0).normal(size=(batch, TIME, INPUTS)).astype("float32")


def is_copied(model):
    """Whether conversions copy the model; one with code of its own they change."""
    return not isinstance(model, (FeedBack, Decoder, Subclassed))
