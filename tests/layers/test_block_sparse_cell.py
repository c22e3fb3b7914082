"""A cell that takes one step of a block-sparse layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr
from keras_sparse_rnn.layers import (
    BlockSparseCell,
    BlockSparseDense,
    BlockSparseGRU,
    BlockSparseLSTM,
    BlockSparseSimpleRNN,
)

LAYERS = {
    "lstm": (BlockSparseLSTM, keras.layers.LSTMCell, {}),
    "gru": (BlockSparseGRU, keras.layers.GRUCell, {}),
    "gru, reset before": (BlockSparseGRU, keras.layers.GRUCell, {"reset_after": False}),
    "simple_rnn": (BlockSparseSimpleRNN, keras.layers.SimpleRNNCell, {"activation": "relu"}),
}
BATCH, TIME, INPUTS, UNITS = 3, 6, 7, 10


def x_of(dtype="float32"):
    return np.random.default_rng(0).normal(size=(BATCH, TIME, INPUTS)).astype(dtype)


def made(kind, storage="packed", **options):
    """A cell that is built, no weight of which is what an initializer makes, bias included."""
    layer, _, more = LAYERS[kind]
    cell = BlockSparseCell(
        layer(UNITS, (4, 3), sparsity=0.5, storage=storage, seed=1, **options, **more)
    )
    cell.build((None, INPUTS))
    generator = np.random.default_rng(1)
    for variable in cell.trainable_variables:
        alive = 1 if storage == "packed" or len(variable.shape) < 2 else variable.numpy() != 0
        variable.assign(alive * generator.normal(scale=0.4, size=variable.shape))
    return cell


def keras_cell(kind, cell, dtype):
    """The dense cell of the same weights."""
    _, parent, more = LAYERS[kind]
    dense = parent(UNITS, dtype=dtype, **more)
    dense.build((None, INPUTS))
    for variable, value in zip(dense.trainable_variables, weights_of(cell)):
        variable.assign(value)
    return dense


def weights_of(cell):
    return [*cell.layer.dense_kernels(), cell.layer.bias.numpy()]


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_are_those_of_keras_in_float64(kind, storage):
    """In the loop of Keras's RNN, a `tf.while_loop`, and step by step in one of one's own."""
    cell = made(kind, storage)
    dense = keras_cell(kind, cell, "float64")
    grids = cell.layer.grids
    live = [grid.expand(grid.live(kernel)) for grid, kernel in zip(grids, weights_of(cell))]

    @tf.function
    def looped(cell, x):
        return keras.layers.RNN(cell, return_sequences=True, return_state=True)(x)

    def stepped(cell, x):
        states, outputs = cell.get_initial_state(BATCH), []
        for step in range(TIME):
            output, states = cell(x[:, step], states)
            outputs.append(output)
        return [tf.stack(outputs, axis=1), *keras.tree.flatten(states)]

    for run in (looped, stepped):
        results = []
        for one, dtype in ((cell, "float32"), (dense, "float64")):
            x = tf.constant(x_of(dtype))
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = run(one, x)
                loss = sum(tf.reduce_sum(tf.sin(output)) for output in outputs)
            variables = [variable.value for variable in one.trainable_variables]
            results.append((outputs, tape.gradient(loss, [x, *variables])))
        (outputs, gradients), (expected, expected_gradients) = results
        for output, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, wanted, atol=2e-6)
        np.testing.assert_allclose(gradients[0], expected_gradients[0], atol=1e-5)
        for index, gradient in enumerate(gradients[1:3]):
            if storage == "packed":
                blocks = (cell.layer.kernel_blocks, cell.layer.recurrent_kernel_blocks)[index]
                gradient = grids[index].unpack(gradient.numpy(), blocks.numpy(), "blocks")
            wanted = expected_gradients[1 + index].numpy() * live[index]
            np.testing.assert_allclose(gradient, wanted, atol=2e-5)
        np.testing.assert_allclose(gradients[3], expected_gradients[3], atol=2e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_takes_and_gives_states_as_the_keras_cell(kind):
    cell = made(kind)
    dense = keras_cell(kind, cell, "float32")
    assert (cell.units, cell.state_size, cell.output_size) == (
        dense.units,
        dense.state_size,
        dense.output_size,
    )
    initial = [one.get_initial_state(batch_size=BATCH) for one in (cell, dense)]
    assert keras.tree.map_structure(lambda one: one.shape, initial[0]) == (
        keras.tree.map_structure(lambda one: one.shape, initial[1])
    )
    for states in (initial[0], tuple(initial[0])) + (() if "lstm" in kind else (initial[0][0],)):
        given = [one(x_of()[:, 0], states) for one in (cell, dense)]
        keras.tree.assert_same_structure(*given)
        assert np.allclose(given[0][0], given[1][0], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions(policy):
    layer = BlockSparseLSTM(UNITS, (4, 4), sparsity=0.5, dtype=policy)
    cell = BlockSparseCell(layer)
    assert cell.dtype_policy == layer.dtype_policy
    output, states = cell(x_of()[:, 0], cell.get_initial_state(BATCH))
    dtypes = {keras.backend.standardize_dtype(one.dtype) for one in (output, *states)}
    assert dtypes == {cell.compute_dtype}
    outputs = keras.layers.RNN(cell, dtype=policy)(x_of())
    assert keras.backend.standardize_dtype(outputs.dtype) == cell.compute_dtype


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_dropout_is_that_of_the_keras_cell(kind, options):
    """The same units are left out at every step, and others in the next call."""
    cell = made(kind, **options)
    _, parent, more = LAYERS[kind]
    dense = parent(UNITS, seed=1, **options, **more)
    dense.build((None, INPUTS))
    for variable, value in zip(dense.trainable_variables, weights_of(cell)):
        variable.assign(value)
    rnns = [keras.layers.RNN(one) for one in (cell, dense)]
    calls = [[np.asarray(rnn(x_of(), training=True)) for _ in range(2)] for rnn in rnns]
    np.testing.assert_allclose(calls[0], calls[1], atol=2e-6)
    assert np.abs(calls[0][0] - calls[0][1]).max() > 1e-3
    assert np.abs(np.asarray(rnns[0](x_of())) - calls[0][0]).max() > 1e-3


def test_a_model_of_cells_trains_and_comes_back_from_a_file(tmp_path):
    lasso = ksr.regularizers.GroupLasso(1e-3, (4, 4))
    cells = [
        BlockSparseCell(BlockSparseGRU(8, (4, 4), sparsity=0.5, kernel_regularizer=lasso)),
        BlockSparseCell(BlockSparseLSTM(8, (4, 4), storage="masked", kernel_regularizer=lasso)),
    ]
    stack = keras.layers.RNN(keras.layers.StackedRNNCells(cells))
    model = keras.Sequential([keras.Input((TIME, INPUTS)), stack, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    losses = model.fit(x_of(), x_of()[:, 0, :1], epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and len(model.losses) == 2
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(x_of()), model(x_of()))
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    assert np.allclose(served.serve(tf.constant(x_of())), model(x_of()), atol=1e-6)


REFUSED = {
    "no layer": (lambda: 16, "Received: layer=16"),
    "dense": (lambda: BlockSparseDense(8, name="d"), "Received: layer=<BlockSparseDense name=d"),
    "keras": (lambda: keras.layers.LSTM(8, name="k"), "Received: layer=<LSTM name=k"),
    "sequences": (
        lambda: BlockSparseGRU(8, (4, 4), return_sequences=True, stateful=True, name="g"),
        "must be without `return_sequences`, `stateful`, which a cell has not: give them to the "
        "keras.layers.RNN around it. Received: the layer 'g' with return_sequences=True, "
        "stateful=True",
    ),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_what_is_no_layer_of_steps_is_refused(make, message):
    with pytest.raises(ValueError) as error:
        BlockSparseCell(make())
    assert str(error.value).startswith("`layer` must be") and message in str(error.value)


def test_a_cell_cannot_grow_by_gradients():
    cell = BlockSparseCell(BlockSparseGRU(8, (4, 4), sparsity=0.5), name="stepped")
    model = keras.Sequential([keras.Input((TIME, INPUTS)), keras.layers.RNN(cell)])
    model.compile("adam", "mse")
    blocks = cell.layer.recurrent_kernel_blocks.numpy().copy()

    def fit(growth):
        evolution = ksr.callbacks.Evolution(1, end_step=5, growth=growth)
        model.fit(x_of(), np.ones((BATCH, 8)), epochs=3, verbose=0, callbacks=[evolution])

    with pytest.raises(ValueError, match="must be \"random\" for the cell 'stepped', which takes"):
        fit("gradient")
    fit("random")
    assert not np.array_equal(cell.layer.recurrent_kernel_blocks, blocks)


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_cell_of_a_layer_steps_as_the_layer(kind, storage):
    """As code of one's own calls `model.lstm.cell(x, states)`; dead blocks get no gradient."""
    layer = made(kind, storage).layer
    expected = layer(x_of())
    with tf.GradientTape() as tape:
        states = layer.cell.get_initial_state(BATCH)
        for step in range(TIME):
            output, states = layer.cell(x_of()[:, step], states, training=True)
    np.testing.assert_allclose(output, expected, atol=2e-6)
    kernel = layer.trainable_variables[0]
    gradient = tape.gradient(output, kernel.value).numpy()
    assert np.all(gradient[kernel.numpy() == 0] == 0) and np.abs(gradient).max() > 0


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_a_layer_steps_after_training_in_the_loop_of_keras(storage):
    """That loop calls the cell, too, with dense kernels."""
    layer = made("lstm", storage, recurrent_dropout=0.5).layer
    layer(x_of(), training=True)
    output, _ = layer.cell(x_of()[:, 0], layer.cell.get_initial_state(BATCH))
    np.testing.assert_allclose(output, layer(x_of()[:, :1]), atol=2e-6)
