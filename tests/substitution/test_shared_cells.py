"""A cell that two layers hold: each copy would have weights of its own."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr


class FeedBack(keras.Model):
    """As in TensorFlow's tutorial on time series: an RNN warms up the cell, which goes on alone."""

    def __init__(self):
        super().__init__(name="feedback")
        self.lstm_cell = keras.layers.LSTMCell(8, name="cell")
        self.lstm_rnn = keras.layers.RNN(self.lstm_cell, return_state=True, name="rnn")
        self.dense = keras.layers.Dense(4)

    def call(self, x):
        x, *state = self.lstm_rnn(x)
        x, state = self.lstm_cell(self.dense(x), states=state)
        return self.dense(x)


def of_two_layers(cell):
    one, other = keras.Input((5, 4)), keras.Input((5, 4))
    outputs = [keras.layers.RNN(cell, name=f"rnn{n}")(x) for n, x in enumerate((one, other))]
    return keras.Model([one, other], keras.layers.Add()(outputs), name="twice")


@pytest.mark.parametrize("function", [ksr.substitute, ksr.to_dense])
def test_a_cell_that_is_called_by_itself(function):
    model = FeedBack()
    x = np.ones((2, 5, 4), np.float32)
    outputs = model(x).numpy()
    message = (
        "must not share a cell .*: 'cell' of class LSTMCell is held by 'feedback' and by 'rnn'"
    )
    with pytest.raises(ValueError, match=message):
        function(model, in_place=True)
    assert model.lstm_rnn.cell is model.lstm_cell
    assert np.array_equal(model(x), outputs)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("function", [ksr.substitute, ksr.to_dense, ksr.remove_dead_units])
def test_a_cell_of_two_layers(function, stacked):
    cell = keras.layers.GRUCell(8)
    if stacked:
        cell = keras.layers.StackedRNNCells([keras.layers.LSTMCell(8), keras.layers.LSTMCell(8)])
    model = of_two_layers(cell)
    with pytest.raises(ValueError, match="is held by 'rnn0' and by 'rnn1'"):
        function(model)


def test_a_layer_that_is_called_twice_is_no_matter():
    layer = keras.layers.RNN(keras.layers.GRUCell(8))
    one, other = keras.Input((5, 4)), keras.Input((5, 4))
    model = keras.Model([one, other], keras.layers.Add()([layer(one), layer(other)]))
    ksr.prune(model, 0.5, (4, 4))
    sparse = ksr.substitute(model, (4, 4))
    x = [np.ones((2, 5, 4), np.float32), np.zeros((2, 5, 4), np.float32)]
    assert np.allclose(sparse(x), model(x), atol=1e-6)
