"""Products with kernels that are prepared once compute what the other op does, with int8
activations what the reference does, and follow weights that change.
"""

import numpy as np
import pytest
import tensorflow as tf
from prepared_layers import CHANGES, count, follows_in_turns, lets_go
from problems import SHAPES, assert_close, random_packed
from test_integer_activations import quantized
from test_native_runs import ops_of

import keras_sparse_rnn as ksr
from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)
X = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
INT8 = {"weights": "int8", "activations": "int8"}


def packed_of(inputs=37, units=41, gates=1, block_shape=(4, 4), density=0.5):
    rng = np.random.default_rng(inputs * units)
    packed = random_packed(rng, inputs, units, gates, block_shape, density)
    return packed._replace(values=packed.values.astype("float32"))


def rows_of(rows, inputs=37):
    return np.random.default_rng(rows).normal(size=(rows, inputs)).astype("float32")


def dense(units=24, **options):
    layer = ksr.layers.BlockSparseDense(units, (4, 4), sparsity=0.5, **options)
    layer.build((None, 8))
    return layer


@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@pytest.mark.parametrize("rows", [0, 1, 2, 5, 7, 8, 40])
def test_outputs_and_gradients(every_cpu, block_shape, rows):
    packed = packed_of(block_shape=block_shape)
    x, values = tf.constant(rows_of(rows)), tf.constant(packed.values)
    dy = np.random.default_rng(1).normal(size=(rows, 41))
    with tf.GradientTape() as tape:
        tape.watch([x, values])
        kernel = packed._replace(values=values)
        y = ops.block_sparse_matmul(x, kernel, kernel="native", prepare=True)
        loss = tf.reduce_sum(y * tf.constant(dy, tf.float32))
    dx, d_values = tape.gradient(loss, [x, values])
    x, kernel = x.numpy().astype("float64"), packed.grid.unpack(packed.values, packed.blocks)
    assert_close(y.numpy(), x @ kernel, "y")
    assert_close(dx.numpy(), dy @ kernel.T, "dx")
    expected = packed.grid.pack(x.T @ dy, packed.blocks)[0]
    assert_close(d_values.numpy(), expected, "d_values")


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
@pytest.mark.parametrize("rows", [1, 4, 6, 8])
def test_quantised_weights(every_cpu, weights, rows):
    packed, x = ops.quantize(packed_of(), weights), rows_of(rows)
    y = ops.block_sparse_matmul(x, packed, kernel="native", prepare=True)
    expected = ops.block_sparse_matmul(tf.cast(x, "float64"), packed, kernel="reference")
    assert_close(y.numpy(), expected.numpy(), "y")


@pytest.mark.parametrize("block_shape", SHAPES, ids=str)
@pytest.mark.parametrize("input_range", [0.0, 1.5])
def test_int8_activations_are_those_of_the_reference(every_cpu, block_shape, input_range):
    """Each row by itself, whatever runs beside it."""
    packed = quantized(packed_of(block_shape=block_shape))
    how = {"activations": "int8", "input_range": input_range}
    x = rows_of(21)
    native = ops.block_sparse_matmul(x, packed, kernel="native", **how).numpy()
    reference = ops.block_sparse_matmul(x, packed, kernel="reference", **how).numpy()
    np.testing.assert_allclose(native, reference, rtol=1e-6, atol=1e-6)
    for rows in (1, 3, 8):
        few = ops.block_sparse_matmul(x[:rows], packed, kernel="native", **how)
        np.testing.assert_array_equal(few, native[:rows])


def test_every_instruction_set_gives_the_same_bits_of_int8_activations(every_cpu):
    packed, x = quantized(packed_of(block_shape=(4, 8))), rows_of(7)
    here = ops.block_sparse_matmul(x, packed, kernel="native", activations="int8")
    ops.set_cpu("plain")
    plain = ops.block_sparse_matmul(x, packed, kernel="native", activations="int8")
    np.testing.assert_array_equal(here, plain)


def test_weights_that_do_not_keep_the_bound_of_int8_activations_are_refused():
    grid = ksr.patterns.BlockGrid(2, 1, 1, (2, 1))
    kernel = ops.PackedKernel(np.ones((1, 2, 1), np.float32), np.array([0], np.int32), grid)
    packed = ops.quantize(kernel, "int8")
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        ops.block_sparse_matmul(tf.ones((1, 2)), packed, kernel="native", activations="int8")
    assert error.value.message.split("}} ")[1].split(" [Op:")[0] == (
        "kernel: the int8 weights of inputs 0 and 1 to unit 0 of gate 0 are 127 and 127: with int8 "
        "activations their sum must be from -129 to 129. Weights must be quantised for int8 "
        'activations: `ops.quantize(packed, "int8", activations="int8")`'
    )


def test_which_op_runs():
    one, three = packed_of(8, 24), packed_of(8, 24, gates=3)

    def found(packed, **options):
        run = lambda x: ops.block_sparse_matmul(x, packed, **options)
        names = ops_of(run, tf.constant(X))
        return names & {"KerasSparseRnnMatmul", "KerasSparseRnnPreparedMatmul"}

    assert found(one) == {"KerasSparseRnnMatmul"}
    assert found(one, prepare=True) == {"KerasSparseRnnPreparedMatmul"}
    assert found(three, prepare=True) == {"KerasSparseRnnMatmul"}
    assert found(quantized(one), activations="int8") == {"KerasSparseRnnPreparedMatmul"}
    assert found(quantized(three), activations="int8") == set()


def test_more_inputs_than_32_bits_sum_take_the_reference():
    grid = ksr.patterns.BlockGrid(2**16 + 1, 4, 1, (1, 4))
    kernel = ops.PackedKernel(np.ones((1, 1, 4), np.float32), np.array([2**16], np.int32), grid)
    x = np.ones((1, 2**16 + 1), "float32")
    packed = quantized(kernel)
    np.testing.assert_allclose(ops.block_sparse_matmul(x, packed, activations="int8"), [[1.0] * 4])
    with pytest.raises(ValueError) as error:
        ops.block_sparse_matmul(x, packed, activations="int8", kernel="native")
    assert str(error.value) == (
        '`kernel="native"` cannot be had: the native ops have int8 activations for at most 65536 '
        'inputs, not for 65537. `kernel="auto"` would take the reference.'
    )


@pytest.mark.parametrize("options", [{}, INT8], ids=str)
@pytest.mark.parametrize("call", ["eagerly", "in a graph"])
def test_a_layer_prepares_once_and_not_once_a_call(call, options):
    layer = dense(**options)
    function = layer if call == "eagerly" else tf.function(lambda x: layer(x))
    before = count("so_far")
    for _ in range(5):
        function(X)
        function(X[:1])
    assert count("so_far") == before + 1


@pytest.mark.parametrize(
    "options, rows, training",
    [({}, 8, False), ({}, 3, True), ({"dtype": "mixed_bfloat16"}, 3, False)],
    ids=["many rows", "training", "cast"],
)
def test_what_would_gain_nothing_is_not_prepared(options, rows, training):
    layer = dense(**options)
    before = count("so_far")
    layer(np.ones((rows, 8), "float32"), training=training)
    assert count("so_far") == before


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_change_are_seen_at_once(change):
    layer = dense()
    function = tf.function(lambda x: layer(x))
    for _ in range(3):
        before = function(X).numpy()
        CHANGES[change](layer.kernel_values)
        after = function(X).numpy()
        assert np.abs(after - before).max() > 1e-4
        np.testing.assert_allclose(after, X @ layer.dense_kernels()[0], atol=1e-5)


def test_training_and_predicting_in_turns_follow_the_weights():
    follows_in_turns(dense, (8,), X, X)


def test_what_is_gone_is_let_go():
    lets_go(dense, X)


@pytest.mark.parametrize("options", [{}, {"activations": "int8"}], ids=str)
@pytest.mark.parametrize("rows", [1, 5, 7, 60])
def test_results_do_not_depend_on_the_number_of_threads(options, rows, threads):
    packed = packed_of(512, 1024, block_shape=(16, 16), density=0.9)
    packed = quantized(packed) if options else packed
    x, found = rows_of(rows, 512), []
    for number in (1, 2, 3, 5, 16):
        threads(number)
        fresh = packed._replace(
            values=tf.identity(packed.values) + tf.zeros((), packed.values.dtype)
        )
        found.append(ops.block_sparse_matmul(x, fresh, prepare=True, **options))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_leading_dimensions_and_unknown_sizes():
    packed = packed_of(8, 24)
    for leading in [(), (0,), (2, 0), (2, 3), (5, 1, 7)]:
        x = np.ones((*leading, 8), "float32")
        y = ops.block_sparse_matmul(x, packed, prepare=True)
        expected = ops.block_sparse_matmul(x, packed, kernel="reference")
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    graph = tf.function(
        lambda x: ops.block_sparse_matmul(x, packed, prepare=True),
        input_signature=[tf.TensorSpec([None, None, 8])],
    )
    assert graph.get_concrete_function().output_shapes.as_list() == [None, None, 24]
