"""How many gates a kernel has is read from the variable, or asked for where it matters."""

import keras
import numpy as np
import pytest
from lasso_by_hand import CELLS, group_lasso

from keras_sparse_rnn.constraints import ProximalGroupLasso
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.regularizers.gates import find_gates, grid_of


@pytest.mark.parametrize("kind", CELLS)
def test_the_layers_of_keras_tell_it_whatever_they_are_called(kind):
    layer, gates = CELLS[kind]
    model = keras.Sequential(
        [
            keras.Input((3, 24)),
            keras.layers.Bidirectional(layer(24 // gates, name="gru_cell"), name="dense"),
        ]
    )
    kernels = [v for v in model.weights if v.name.endswith("kernel")]
    assert len(kernels) == 4 and [find_gates(kernel) for kernel in kernels] == [gates] * 4


def test_cells_and_dense_layers_tell_it():
    cells = [keras.layers.LSTMCell(6), keras.layers.LSTMCell(6), keras.layers.GRUCell(5)]
    layers = [
        keras.Input((3, 24)),
        keras.layers.RNN(cells),
        keras.layers.Dense(7),
        keras.layers.Dense(8),
    ]
    kernels = [v for v in keras.Sequential(layers).weights if v.name.endswith("kernel")]
    assert [find_gates(kernel) for kernel in kernels] == [4, 4, 4, 4, 3, 3, 1, 1]


def test_cells_with_names_of_their_own_tell_it_of_the_recurrent_kernel_only():
    cell = keras.layers.LSTMCell(6, name="mine")
    cell.build((None, 24))
    assert find_gates(cell.kernel) is None and find_gates(cell.recurrent_kernel) == 4
    dense = keras.layers.Dense(8, name="head", kernel_regularizer=GroupLasso(0.5, (2, 3)))
    dense.build((None, 4))
    with pytest.raises(
        ValueError, match="`gates` of GroupLasso cannot be told from a kernel of shape"
    ):
        dense.losses
    dense.kernel.regularizer = GroupLasso(0.5, (2, 3), gates=1)
    np.testing.assert_allclose(
        dense.losses[0], group_lasso(dense.kernel.numpy(), 1, (2, 3), 0.5)[0], rtol=1e-6
    )


@pytest.mark.parametrize("columns", [64, 48, 16 * 12, 7, 100 * 12])
def test_nothing_need_be_known_where_the_cut_is_the_same(columns):
    for width in (1, 4, 7, 16):
        possible = [gates for gates in (1, 3, 4) if columns % gates == 0]
        grids = {grid_of((9, columns), gates, (4, width), None) for gates in possible}
        if len(grids) == 1:
            assert {grid_of((9, columns), None, (4, width), None)} == grids
        else:
            with pytest.raises(ValueError, match="cannot be told"):
                grid_of((9, columns), None, (4, width), None)


@pytest.mark.parametrize(
    "layer, shape, gates",
    [
        (keras.layers.Conv1D(6, 3), (None, 9, 5), 1),
        (keras.layers.Conv2D(6, (3, 2), name="mine"), (None, 9, 9, 5), 1),
        (keras.layers.EinsumDense("abc,cde->abde", (None, 4, 6)), (None, 3, 5), 1),
        (keras.layers.ConvLSTM1D(6, 3), (None, 4, 9, 5), 4),
    ],
)
def test_kernels_of_more_axes_are_cut_as_matrices(layer, shape, gates):
    layer.build(shape)
    kernel = [v for v in layer.weights if v.name == "kernel"][0]
    assert len(kernel.shape) > 2 and find_gates(kernel) == gates
    expected = group_lasso(kernel.numpy().reshape(-1, 6 * gates), gates, (2, 4), 0.5)[0]
    np.testing.assert_allclose(GroupLasso(0.5, (2, 4))(kernel), expected, rtol=1e-6)


@pytest.mark.parametrize("storage", ["keras", "saved"])
def test_a_convolution_is_trained_with_a_group_lasso_and_its_proximal_form(storage, tmp_path):
    keras.utils.set_random_seed(1)
    options = {
        "kernel_regularizer": GroupLasso(0.5, (3, 2)),
        "kernel_constraint": ProximalGroupLasso(3.0, (3, 2), learning_rate=0.1),
    }
    model = keras.Sequential([keras.Input((8, 5)), keras.layers.Conv1D(6, 3, **options)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    if storage == "saved":
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    before = model.layers[0].kernel.numpy()
    model.fit(np.zeros((2, 8, 5)), np.zeros((2, 6, 6)), verbose=0)
    blocks = before.reshape(5, 3, 3, 2)
    norms = np.sqrt((blocks**2).sum(axis=(1, 3), keepdims=True))
    expected = blocks * np.maximum(0, 1 - 0.3 * 6**0.5 / norms)
    assert (expected == 0).any() and (expected != 0).any()
    np.testing.assert_allclose(
        model.layers[0].kernel.numpy(), expected.reshape(before.shape), rtol=1e-5
    )
