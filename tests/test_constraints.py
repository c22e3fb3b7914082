"""The proximal operator against a plain loop and against what defines it, and what it does to
models.
"""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.constraints import ProximalGroupLasso
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.regularizers import GroupLasso


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)


def shrunk(kernel, gates, block_shape, amount):
    """Block by block."""
    grid = BlockGrid(kernel.shape[0], kernel.shape[1] // gates, gates, block_shape)
    cut = np.array(grid.split(kernel), np.float64)
    for number in np.ndindex(grid.shape):
        norm, least = np.linalg.norm(cut[number]), amount * np.sqrt(grid.elements[number])
        cut[number] *= max(0.0, 1 - least / norm) if norm else 0.0
    return grid.join(cut)


def random_kernel(inputs, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(inputs, columns))


@pytest.mark.parametrize("block_shape", [(1, 1), (1, 4), (3, 2), (5, 7), (40, 40)])
@pytest.mark.parametrize("inputs, units, gates", [(7, 5, 4), (9, 6, 3), (11, 11, 1)])
@pytest.mark.parametrize("amount", [0.0, 0.2, 0.9, 9.0])
def test_it_shrinks_each_block(inputs, units, gates, block_shape, amount):
    kernel = random_kernel(inputs, gates * units)
    kernel[:3, :2] = 0
    result = ProximalGroupLasso(4 * amount, block_shape, learning_rate=0.25)(
        kernel, gates=gates
    ).numpy()
    np.testing.assert_allclose(
        result, shrunk(kernel, gates, block_shape, amount), rtol=1e-12, atol=1e-15
    )
    assert amount != 9.0 or not result.any()


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    st.integers(0, 1000),
    st.floats(0.01, 1.5),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.floats(1e-4, 1.0),
)
def test_it_minimizes_what_defines_it(seed, amount, block_shape, distance):
    """No point near it, nor the point it started from, nor zero, makes `||w - v||**2 / 2 + t *
    penalty(w)` smaller.
    """
    start = random_kernel(5, 6, seed)
    lasso = GroupLasso(amount, block_shape, gates=2)
    objective = lambda w: np.sum((w - start) ** 2) / 2 + float(lasso(w).numpy())
    best = ProximalGroupLasso(amount, block_shape, learning_rate=1.0, gates=2)(start).numpy()
    others = [best + distance * random_kernel(5, 6, seed + n) for n in range(1, 4)]
    assert all(
        objective(best) <= objective(other) + 1e-12
        for other in [*others, start, 0 * start, best * (1 + distance)]
    )


def test_it_is_firmly_nonexpansive():
    prox = ProximalGroupLasso(0.5, (2, 3), learning_rate=1.0, gates=1)
    first, second = random_kernel(7, 8), random_kernel(7, 8, seed=1)
    moved = prox(first).numpy() - prox(second).numpy()
    assert np.sum(moved**2) <= np.sum(moved * (first - second)) + 1e-12


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-17, 1.0, 1e15])
def test_without_strength_it_changes_nothing(size):
    kernel = (size * random_kernel(20, 24)).astype("float32")
    np.testing.assert_array_equal(
        ProximalGroupLasso(0.0, (16, 16), learning_rate=1.0, gates=1)(kernel), kernel
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtypes(dtype):
    kernel = keras.ops.convert_to_tensor(random_kernel(7, 8), dtype)
    result = ProximalGroupLasso(0.5, (2, 3), learning_rate=1.0, gates=1)(kernel)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    expected = shrunk(np.array(keras.ops.cast(kernel, "float64")), 1, (2, 3), 0.5)
    np.testing.assert_allclose(
        keras.ops.cast(result, "float64"), expected, atol=0.02 if dtype == "bfloat16" else 2e-3
    )


def regression(optimizer, constraint=None, regularizer=None, batch_size=64):
    """A linear model of 12 inputs, of which a block of 4 says something, trained. Returns its
    kernel, and the loss with a penalty.
    """
    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 12))
    y = x[:, 4:8] @ generator.normal(size=(4, 3)) + 0.1 * generator.normal(size=(64, 3))
    layer = keras.layers.Dense(
        3, use_bias=False, kernel_constraint=constraint, kernel_regularizer=regularizer
    )
    model = keras.Sequential([keras.Input((12,)), layer])
    model.compile(optimizer, "mse", steps_per_execution=40)
    order = (
        np.concatenate([generator.permutation(64) for _ in range(120)])
        if batch_size < 64
        else np.tile(np.arange(64), 120)
    )
    model.fit(
        x[order],
        y[order],
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[ksr.callbacks.StrengthSchedule()],
    )
    kernel = layer.kernel.numpy()
    return kernel, np.mean((x @ kernel - y) ** 2) + GroupLasso(0.05, (4, 3), gates=1)(
        kernel
    ).numpy()


def test_with_sgd_it_finds_the_least_of_loss_and_penalty_with_exact_zeros():
    lasso = regression(keras.optimizers.SGD(0.2), regularizer=GroupLasso(0.05, (4, 3), gates=1))
    proximal = regression(keras.optimizers.SGD(0.2), ProximalGroupLasso(0.05, (4, 3)))
    assert np.array_equal(np.abs(proximal[0]).reshape(3, 12).sum(axis=1) == 0, [True, False, True])
    assert np.count_nonzero(lasso[0]) == 36  # the penalty alone leaves something everywhere
    assert proximal[1] < lasso[1]
    np.testing.assert_allclose(proximal[0], lasso[0], atol=0.05)


def test_with_adam_it_makes_exact_zeros_too():
    kernel = regression(keras.optimizers.Adam(0.02), ProximalGroupLasso(0.3, (4, 3)), batch_size=8)[
        0
    ]
    assert np.array_equal(np.abs(kernel).reshape(3, 12).sum(axis=1) == 0, [True, False, True])


def updates_counted_before_constraints():
    """1 where Keras counts an update before it calls the constraints, before Keras 3.10; else 0."""
    seen = []

    class Look(keras.constraints.Constraint):
        def __call__(self, weights):
            seen.append(int(optimizer.iterations.numpy()))
            return weights

    variable = keras.Variable(np.ones(2, "float32"))
    variable.constraint, optimizer = Look(), keras.optimizers.SGD(0.1)
    optimizer.build([variable])
    optimizer.apply([keras.ops.ones(2)])
    return seen[0]


@pytest.mark.parametrize("wrap", [False, True])
def test_the_step_size_is_the_learning_rate_of_the_optimizer_at_each_step(wrap):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.5, 0.25, 0.125])
    optimizer = keras.optimizers.SGD(rate)
    optimizer = (
        keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0) if wrap else optimizer
    )
    layer = keras.layers.Dense(3, kernel_constraint=ProximalGroupLasso(0.02, (1, 1)))
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(optimizer, lambda y, y_pred: 0.0 * y_pred)
    before = np.abs(layer.kernel.numpy()).max()
    sizes = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: sizes.append(np.abs(layer.kernel.numpy()).max())
    )
    model.fit(
        np.zeros((4, 3)),
        np.zeros((4, 3)),
        batch_size=1,
        verbose=0,
        callbacks=[ksr.callbacks.StrengthSchedule(until=3), note],
    )
    # Keras's schedule has reached a boundary when the step is past it.
    first = updates_counted_before_constraints()
    rates = [0.5, 0.5, 0.25, 0.125][first : first + 3]
    np.testing.assert_allclose(before - sizes, 0.02 * np.cumsum([*rates, 0.0]), rtol=1e-5)


@pytest.mark.parametrize("storage", ["packed", "masked", None])
def test_layers_of_all_kinds(storage, tmp_path):
    """Zero blocks of each gate, beside pruning, in the report, and in a model that is loaded."""
    prox = ProximalGroupLasso(40.0, (4, 3), learning_rate=0.002)
    options = {"kernel_constraint": prox, "recurrent_constraint": prox}
    layer = (
        keras.layers.GRU(7, **options)
        if storage is None
        else ksr.layers.BlockSparseGRU(7, (4, 3), storage=storage, **options)
    )
    model = keras.Sequential([keras.Input((3, 5)), layer, keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.002), "mse")
    weights = (
        layer.dense_kernels()
        if storage
        else [layer.cell.kernel.numpy(), layer.cell.recurrent_kernel.numpy()]
    )
    x, y = random_kernel(2, 15).reshape(2, 3, 5), np.zeros((2, 2))
    pruning = (
        []
        if storage == "packed"
        else [ksr.callbacks.BlockPruning(ksr.schedules.Constant(0.2, 0), (4, 3))]
    )
    model.fit(x, y, epochs=1, verbose=0, callbacks=pruning)
    after = (
        layer.dense_kernels()
        if storage
        else [layer.cell.kernel.numpy(), layer.cell.recurrent_kernel.numpy()]
    )
    for old, new in zip(weights, after):
        expected = shrunk(old, 3, (4, 3), 0.08)
        kept = new != 0
        np.testing.assert_allclose(new[kept], expected[kept], atol=0.01)  # the step itself is small
        assert not pruning or not kept.all()
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0].cell
    assert loaded.kernel_constraint.get_config() == {
        "strength": 40.0,
        "block_shape": [4, 3],
        "learning_rate": 0.002,
        "gates": None,
    }
    if storage != "packed":
        before = [layer.cell.kernel.numpy(), layer.cell.recurrent_kernel.numpy()]
        prox.strength.assign(110.0)
        model.train_on_batch(x, y)
        for kernel, variable in zip(before, (layer.cell.kernel, layer.cell.recurrent_kernel)):
            np.testing.assert_allclose(variable.numpy(), shrunk(kernel, 3, (4, 3), 0.22), atol=0.02)
            assert np.count_nonzero(variable.numpy()) < 0.9 * np.count_nonzero(kernel)


def test_errors():
    for options, message in [
        ({"strength": -1}, "`strength` must be a number of at least 0. Received: strength=-1"),
        (
            {"learning_rate": "x"},
            "`learning_rate` must be a number of at least 0. Received: learning_rate='x'",
        ),
        (
            {"block_shape": 4},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=4",
        ),
    ]:
        with pytest.raises(ValueError) as error:
            ProximalGroupLasso(**{"strength": 1.0, **options})
        assert str(error.value) == message
