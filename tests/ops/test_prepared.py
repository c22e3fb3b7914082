"""Cells that are prepared once compute what the other ops do, and follow weights that change."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from prepared_layers import CHANGES, count, follows_in_turns, lets_go
from problems import SHAPES, Problem, assert_native_is_right
from test_integer_activations import call, quantized
from test_native_cells import cpu, every_cpu, variants

import keras_sparse_rnn as ksr
from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)


@variants
@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@every_cpu
@pytest.mark.quick_cases(40)
def test_every_block_shape(cell, options, block_shape):
    other = SHAPES[(SHAPES.index(block_shape) + 3) % len(SHAPES)]
    how = {"mask": True, "training": False, "prepare": True, "options": options}
    assert_native_is_right(Problem(cell, 2, 6, 37, 41, block_shape, other, **how))


@variants
@pytest.mark.parametrize("batch", [1, 2, 4, 7, 9])
@pytest.mark.parametrize("go_backwards", [False, True])
@cpu
@pytest.mark.quick_cases(12)
def test_every_size(cell, options, batch, go_backwards):
    how = {"mask": True, "training": False, "prepare": True, "options": options}
    how["go_backwards"] = go_backwards
    for time in (1, 9):
        assert_native_is_right(Problem(cell, batch, time, 5, 19, (8, 8), (4, 4), **how))


@variants
@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@pytest.mark.parametrize("input_range", [0.0, pytest.param(1.5, marks=pytest.mark.slow)])
@cpu
@pytest.mark.quick_cases(12)
def test_int8_activations_are_those_of_the_reference(cell, options, block_shape, input_range):
    """But for tanh and sigmoid, which are fast ones, and where a number that is off by so little is
    rounded to another integer.
    """
    other = SHAPES[(SHAPES.index(block_shape) + 3) % len(SHAPES)]
    first = 0.02 if options.get("reset_after") is False else 3e-4  # it rounds r * h
    for time, bound in ((1, first), (6, 0.05)):
        problem = Problem(cell, 5, time, 37, 41, block_shape, other, mask=True, options=options)
        kernels = [quantized(packed) for packed in problem.packed]
        native = call(problem, kernels, input_range, tf.float32, "native")
        reference = call(problem, kernels, input_range, tf.float32, "reference")
        relu = options.get("activation") == "relu"
        for one, wanted in zip(native, reference):
            size = np.abs(wanted).max() if relu else 1.0
            assert np.abs(one - wanted).max() <= (1e-5 if relu else bound) * size
        for batch in (1, 4):  # each sample by itself, whatever runs beside it
            few = Problem(cell, 5, time, 37, 41, block_shape, other, mask=True, options=options)
            few.arrays = {
                name: array[:batch] if name in ("x", "h0", "c0") else array
                for name, array in few.arrays.items()
            }
            few.mask_array = few.mask_array[:batch]
            for one, all_of_them in zip(call(few, kernels, input_range, tf.float32), native):
                np.testing.assert_array_equal(one, all_of_them[:batch])


def lstm(units=24, **options):
    layer = ksr.layers.BlockSparseLSTM(units, (4, 4), sparsity=0.5, seed=1, **options)
    layer.build((None, None, 8))
    return layer


# As many samples as prepared cells multiply together.
X = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")


@pytest.mark.parametrize("call", ["eagerly", "in a graph"])
def test_a_layer_prepares_once_and_not_once_a_call(call):
    layer = lstm()
    function = layer if call == "eagerly" else tf.function(lambda x: layer(x))
    before = count("so_far")
    for _ in range(5):
        function(X)
        function(X[:1])
    assert count("so_far") == before + 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("what", ["kernel_values", "recurrent_kernel_values"])
def test_weights_that_change_are_seen_at_once(what, change):
    layer = lstm()
    function = tf.function(lambda x: layer(x))
    for _ in range(3):
        before = function(X).numpy()
        CHANGES[change](getattr(layer, what))
        after = function(X).numpy()
        assert np.abs(after - before).max() > 1e-4
        reference = ksr.layers.BlockSparseLSTM.from_config(
            {**layer.get_config(), "kernel": "reference"}
        )
        reference.build((None, None, 8))
        reference.set_weights(layer.get_weights())
        np.testing.assert_allclose(after, reference(X).numpy(), atol=1e-6)


def test_training_and_predicting_in_turns_follow_the_weights():
    follows_in_turns(lstm, (5, 8), X, np.repeat(X, 2, axis=0))


def test_what_is_gone_is_let_go():
    kept, most = lets_go(lstm, X)
    kept.kernel_values.assign(kept.kernel_values.numpy())
    kept(X)
    assert count("now") <= most


def test_weights_that_are_not_finite_are_computed_with():
    """A training that has diverged shows NaN, as with dense layers, and does not stop."""
    layer = lstm()
    values = layer.kernel_values.numpy()
    values[:] = np.nan
    layer.kernel_values.assign(values)
    assert np.isnan(layer(X).numpy()).all()


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_results_do_not_depend_on_the_number_of_threads(weights, threads):
    grid = ksr.patterns.BlockGrid(64, 320, 4, (16, 16))
    own = ksr.patterns.BlockGrid(320, 320, 4, (16, 16))
    rng = np.random.default_rng(1)

    def packed(grid):
        blocks = np.flatnonzero(rng.random(grid.count) < 0.8).astype(np.int32)
        values = rng.normal(size=(len(blocks), 16, 16)).astype("float32") / 18
        return ops.quantize(ops.PackedKernel(values, blocks, grid), weights)

    kernel, recurrent = packed(grid), packed(own)
    x = rng.normal(size=(4, 40, 64)).astype("float32")
    found = []
    for number in (1, 2, 3, 5, 16):
        threads(number)
        fresh = [
            one._replace(values=tf.identity(one.values) + tf.zeros((), one.values.dtype))
            for one in (kernel, recurrent)
        ]
        zeros = tf.zeros((4, 320))
        found.append(
            ops.block_sparse_lstm(x, zeros, zeros, *fresh, None, training=False, prepare=True)
        )
    for other in found[1:]:
        for one, two in zip(found[0], other):
            np.testing.assert_array_equal(one, two)


def test_threads_of_python_share_a_cell():
    layer, results = lstm(200), {}
    function = tf.function(lambda x: layer(x))
    xs = [np.float32(number + 1) * X for number in range(6)]
    expected = [function(x).numpy() for x in xs]
    layer.kernel_values.assign(layer.kernel_values.numpy())  # prepared anew, by whoever comes first

    def work(number):
        results[number] = [function(xs[number]).numpy() for _ in range(20)]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(xs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, wanted in enumerate(expected):
        for found in results[number]:
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_weights_that_are_cast_in_each_call_are_not_prepared(policy):
    layer = lstm(dtype=policy)
    before = count("so_far")
    layer(X)
    layer(X)
    assert count("so_far") == before + (policy == "float32")
