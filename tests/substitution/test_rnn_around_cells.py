"""`keras.layers.RNN` around one plain Keras cell is what LSTM, GRU and SimpleRNN are."""

import keras
import numpy as np
import pytest
from keras import layers
from pruning import data, largest_difference, prune

from keras_sparse_rnn.layers import BlockSparseGRU, BlockSparseLSTM, BlockSparseSimpleRNN
from keras_sparse_rnn.patterns import Block
from keras_sparse_rnn.substitution import substitute, to_dense

CELLS = {
    layers.LSTMCell: (BlockSparseLSTM, layers.LSTM, {"unit_forget_bias": False}),
    layers.GRUCell: (BlockSparseGRU, layers.GRU, {"reset_after": False}),
    layers.SimpleRNNCell: (BlockSparseSimpleRNN, layers.SimpleRNN, {"activation": "relu"}),
}


def pruned(model, cell):
    generator = np.random.default_rng(0)
    for variable in (cell.kernel, cell.recurrent_kernel):
        weights = generator.normal(scale=0.3, size=variable.shape)
        grid = Block((4, 4)).grid(variable.shape, variable.shape[1] // cell.units)
        variable.assign(weights * grid.expand(Block((4, 4)).keep(grid, weights, 0.6)))
    return prune(model)


@pytest.mark.parametrize("wrap", [False, True], ids=["alone", "bidirectional"])
@pytest.mark.parametrize(
    "cell, expected", CELLS.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_is_substituted_like_the_layer_that_it_equals(cell, expected, wrap):
    twin, parent, arguments = expected
    made = cell(9, bias_initializer="ones", dropout=0.2, **arguments)
    rnn = layers.RNN(made, return_sequences=True, go_backwards=not wrap, name="it")
    outer = layers.Bidirectional(rnn, name="it") if wrap else rnn
    model = keras.Sequential([keras.Input((5, 6)), outer, layers.Dense(2)])
    inner = (lambda m: m.layers[0].forward_layer) if wrap else (lambda m: m.layers[0])
    pruned(model, inner(model).cell)
    if wrap:
        pruned(model, model.layers[0].backward_layer.cell)
    sparse = substitute(model, (4, 4))
    assert type(inner(sparse)) is twin and inner(sparse).name == inner(model).name
    dense = to_dense(sparse)
    assert type(inner(dense)) is parent
    assert largest_difference(model.get_weights(), dense.get_weights()) == 0.0
    for one in (sparse, dense, substitute(model, (4, 4), storage="masked")):
        assert largest_difference(model(data(model)), one(data(model))) < 3e-6


def test_states_carry_over_and_are_taken_and_given():
    x, state = keras.Input((5, 6), batch_size=6), keras.Input((9,), batch_size=6)
    cell = layers.GRUCell(9)
    outputs = layers.RNN(cell, return_state=True, stateful=True)(x, initial_state=[state])
    model = pruned(keras.Model([x, state], outputs), cell)
    model(data(model))
    sparse = substitute(model, (4, 4))
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6


def test_other_cells_are_left_and_named():
    class Own(layers.GRUCell):
        pass

    x = keras.Input((5, 6))
    outputs = [
        layers.LSTM(9, name="plain")(x),
        layers.RNN(Own(9), name="own")(x),
        layers.RNN(layers.GRUCell(9, dtype="float64", name="other_dtype"))(x),
    ]
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(prune(keras.Model(x, outputs)), (4, 4))
    assert [str(one.message) for one in warned] == [
        "substitute: no block of (4, 4) is zero in 'other_dtype': left as it is, for nothing would "
        "be gained. Prune it first.",
        "substitute: only keras.layers.LSTM, GRU and SimpleRNN, and their cells, can be "
        "substituted: 'own' (RNN) left as it is.",
    ]
    assert type(sparse.get_layer("plain")) is BlockSparseLSTM
