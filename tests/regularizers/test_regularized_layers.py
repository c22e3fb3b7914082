"""Regularizers in layers: of Keras and of this package, in models that are compiled, saved, copied
and trained.
"""

import json

import keras
import numpy as np
import pytest
from lasso_by_hand import CELLS, group_lasso

import keras_sparse_rnn as ksr
from keras_sparse_rnn.regularizers import GroupLasso, Regularizer

OURS = {
    "lstm": ksr.layers.BlockSparseLSTM,
    "gru": ksr.layers.BlockSparseGRU,
    "simple_rnn": ksr.layers.BlockSparseSimpleRNN,
}
SHAPE = (4, 3)


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)


def expected_losses(kernels, gates, strength=0.3):
    return [group_lasso(kernel, gates, SHAPE, strength)[0] for kernel in kernels]


def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(16, 3, 5)).astype("float32"), generator.normal(
        size=(16, 2)
    ).astype("float32")


def model_of(layer, head=2, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((3, 5)),
            layer,
            keras.layers.Dense(head, kernel_regularizer=GroupLasso(0.3, SHAPE)),
        ]
    )
    model.compile(**{"optimizer": "adam", "loss": "mse", **compile_arguments})
    return model


@pytest.mark.parametrize("kind", CELLS)
def test_keras_layers(kind):
    layer, gates = CELLS[kind]
    lasso = GroupLasso(0.3, SHAPE)
    rnn = layer(7, kernel_regularizer=lasso, recurrent_regularizer=lasso)
    model = model_of(keras.layers.Bidirectional(rnn))
    directions = model.layers[0].forward_layer.cell, model.layers[0].backward_layer.cell
    kernels = [
        kernel.numpy() for cell in directions for kernel in (cell.kernel, cell.recurrent_kernel)
    ]
    expected = expected_losses(kernels, gates) + expected_losses(
        [model.layers[1].kernel.numpy()], 1
    )
    np.testing.assert_allclose(model.losses, expected, rtol=1e-5)
    assert not [v.path for v in model.variables if "strength" in v.path] and len(model.weights) == 8


@pytest.mark.parametrize("shape", [SHAPE, (2, 5)], ids=["same blocks", "other blocks"])
@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("kind", CELLS)
def test_block_sparse_layers_have_the_loss_and_gradient_of_the_dense_form(kind, storage, shape):
    lasso = GroupLasso(0.3, SHAPE)
    layer = OURS[kind](
        7,
        shape,
        sparsity=0.4,
        storage=storage,
        kernel_regularizer=lasso,
        recurrent_regularizer=lasso,
    )
    model = keras.Sequential([keras.Input((3, 5)), layer])
    gates = CELLS[kind][1]
    np.testing.assert_allclose(
        model.losses, expected_losses(layer.dense_kernels(), gates), rtol=1e-5
    )
    model.compile(keras.optimizers.SGD(0.01), lambda y, y_pred: 0.0 * y_pred, run_eagerly=True)
    before = layer.dense_kernels()
    model.train_on_batch(data()[0][:2], np.zeros((2, 7)))
    for old, new, grid in zip(before, layer.dense_kernels(), layer.grids):
        live = grid.expand(grid.live(old))
        step = np.where(live, 0.01 * group_lasso(old, gates, SHAPE, 0.3)[1], 0)
        np.testing.assert_allclose(
            new,
            old - step
            if storage == "packed"
            else old - 0.01 * group_lasso(old, gates, SHAPE, 0.3)[1],
            atol=1e-6,
        )


def test_block_sparse_dense():
    layer = ksr.layers.BlockSparseDense(
        7, SHAPE, sparsity=0.4, kernel_regularizer=GroupLasso(0.3, SHAPE)
    )
    layer.build((None, 5))
    np.testing.assert_allclose(layer.losses, expected_losses(layer.dense_kernels(), 1), rtol=1e-5)


def test_saved_loaded_and_cloned(tmp_path):
    lasso = GroupLasso(0.3, SHAPE)
    model = model_of(keras.layers.GRU(7, kernel_regularizer=lasso, recurrent_regularizer=lasso))
    model.optimizer.build(model.trainable_variables)
    lasso.strength.assign(0.1)  # by a callback: nothing that is to be saved
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    cell = model.layers[0].cell
    for copy in (loaded, cloned):
        np.testing.assert_allclose(
            copy.losses[:2],
            expected_losses([cell.kernel.numpy(), cell.recurrent_kernel.numpy()], 3),
            rtol=1e-5,
        )
    plain = json.loads(json.dumps(model.get_config()))["layers"][1]["config"][
        "recurrent_regularizer"
    ]["config"]
    assert plain == lasso.get_config() == {"strength": 0.3, "block_shape": [4, 3], "gates": None}
    assert GroupLasso.from_config(lasso.get_config()).block_shape == (4, 3)


@pytest.mark.parametrize(
    "options", [{"steps_per_execution": 2}, {"jit_compile": True}, {"run_eagerly": True}], ids=str
)
@pytest.mark.quick_cases
def test_a_model_learns_what_keras_l1_makes_it_learn(options):
    """The gradient arrives whole in every way of training."""
    weights = {}
    for regularizer in (GroupLasso(0.01, (1, 1)), keras.regularizers.L1(0.01)):
        keras.utils.set_random_seed(3)
        layer = keras.layers.SimpleRNN(
            4, kernel_regularizer=regularizer, recurrent_regularizer=regularizer
        )
        model = keras.Sequential([keras.Input((3, 5)), layer, keras.layers.Dense(2)])
        model.compile(keras.optimizers.SGD(0.1), "mse", **options)
        model.fit(*data(), batch_size=4, shuffle=False, verbose=0)
        weights[type(regularizer).__name__] = model.get_weights()
    for ours, theirs in zip(weights["GroupLasso"], weights["L1"]):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_policies(policy):
    lasso = GroupLasso(0.3, SHAPE)
    layer = keras.layers.LSTM(
        7, kernel_regularizer=lasso, recurrent_regularizer=lasso, dtype=policy
    )
    model = keras.Sequential([keras.Input((3, 5)), layer, keras.layers.Dense(2, dtype="float32")])
    model.compile("adam", "mse")
    history = model.fit(*data(), epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


class Largest(Regularizer):
    """One's own: the largest weight of each gate."""

    def penalty(self, kernel, gates):
        return keras.ops.sum(
            keras.ops.max(
                keras.ops.abs(keras.ops.reshape(kernel, (kernel.shape[0], gates, -1))), axis=(0, 2)
            )
        )


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_one_of_your_own_sees_the_gates(storage):
    layer = ksr.layers.BlockSparseLSTM(
        7, SHAPE, storage=storage, sparsity=0.3, recurrent_regularizer=Largest(0.5)
    )
    keras.Sequential([keras.Input((3, 5)), layer])
    recurrent = np.abs(layer.dense_kernels()[1]).reshape(7, 4, 7)
    np.testing.assert_allclose(layer.losses, [0.5 * recurrent.max(axis=(0, 2)).sum()], rtol=1e-6)
    with pytest.raises(NotImplementedError):
        Regularizer(1.0)(np.zeros((2, 2)))


def test_masked_layers_are_regularized_by_the_blocks_that_they_pack(monkeypatch):
    """In a training step, and only there; with the loss and gradient of the dense kernel."""
    seen = []
    of_packed = GroupLasso.of_packed
    monkeypatch.setattr(
        GroupLasso,
        "of_packed",
        lambda self, *args: seen.append(self.block_shape) or of_packed(self, *args),
    )
    weights = []
    for shape in (SHAPE, (2, 5)):
        keras.utils.set_random_seed(3)
        lasso = GroupLasso(0.3, SHAPE)
        options = {"sparsity": 0.4, "storage": "masked", "kernel_regularizer": lasso}
        rnn = ksr.layers.BlockSparseGRU(7, SHAPE, recurrent_regularizer=lasso, **options)
        model = keras.Sequential(
            [keras.Input((3, 5)), rnn, ksr.layers.BlockSparseDense(7, SHAPE, **options)]
        )
        if shape != SHAPE:
            for variable in model.trainable_variables:
                variable.regularizer = getattr(
                    variable.regularizer, "regularizer", None
                )  # the dense form
        model.compile(keras.optimizers.SGD(0.05), "mse", steps_per_execution=2)
        x, y = data()[0], np.zeros((16, 7))
        loss = model.evaluate(x, y, verbose=0)
        assert not seen
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        np.testing.assert_allclose(
            model.losses,
            [lasso(v) for v in model.trainable_variables if v.name.endswith("kernel")],
            rtol=1e-6,
        )
        weights.append([loss, *model.get_weights()])
        assert seen == ([SHAPE] * len(seen) if shape == SHAPE else []) and bool(seen) == (
            shape == SHAPE
        )
        seen.clear()
    for packed, dense in zip(*weights):
        np.testing.assert_allclose(packed, dense, atol=1e-6)
