"""Of block numbers that are out of range, repeated or out of order the same is said wherever they
are read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse_rnn as ksr
from keras_sparse_rnn import ops
from keras_sparse_rnn.patterns import BlockGrid

BAD = {
    "negative": ([-1, 2, 5], "[0] = -1"),
    "repeated": ([0, 2, 2], "[2] = 2 after 2"),
    "unsorted": ([0, 5, 2], "[2] = 2 after 5"),
    "too large": ([0, 2, 24], "[2] = 24 after 2"),
}
bad = pytest.mark.parametrize("numbers, found", BAD.values(), ids=BAD)


def message(name, found, last=23):
    return (
        f"`{name}` must be ascending block numbers without repetition, from 0 to {last}. "
        f"Received: {name}{found}"
    )


def model_with(numbers, **options):
    """An LSTM(6) in blocks of (3, 2) whose recurrent kernel has the blocks `numbers`."""
    options = {"live_blocks": (3, 3), **options}
    model = keras.Sequential(
        [keras.Input((4, 5)), ksr.layers.BlockSparseLSTM(6, block_shape=(3, 2), **options)]
    )
    model.layers[0].recurrent_kernel_blocks.assign(numbers)
    return model


def native_or_reference(kernel):
    return pytest.param(
        kernel,
        marks=pytest.mark.skipif(
            kernel == "native" and ops.loader.problem() is not None, reason="no native library"
        ),
    )


KERNELS = [native_or_reference(kernel) for kernel in ("native", "reference")]


@bad
@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize(
    "read",
    [
        ksr.to_dense,
        ksr.report,
        lambda model: ksr.export.export_litert(model, "model.tflite"),
        lambda model: model.layers[0].dense_kernels(),
    ],
    ids=["to_dense", "report", "export_litert", "dense_kernels"],
)
def test_what_reads_the_blocks_of_a_layer_refuses_wrong_ones(
    tmp_path, monkeypatch, numbers, found, weights, read
):
    monkeypatch.chdir(tmp_path)
    model = model_with(numbers, weights=weights)
    with pytest.raises(ValueError) as error:
        read(model)
    assert str(error.value) == message("recurrent_kernel_blocks", found)
    assert not list(tmp_path.iterdir())


@bad
@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("run_eagerly", [False, True], ids=["graph", "eager"])
@pytest.mark.quick_cases(10)
def test_what_computes_with_the_blocks_refuses_wrong_ones(
    numbers, found, weights, kernel, run_eagerly
):
    model = model_with(numbers, weights=weights, kernel=kernel)
    call = model if run_eagerly else tf.function(model)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as error:
        call(np.zeros((2, 4, 5), "float32"))
    assert message("recurrent_kernel_blocks", found) in str(error.value)


@bad
@pytest.mark.quick_cases
def test_keras_own_loop_over_the_unpacked_kernels_refuses_wrong_ones(numbers, found):
    model = model_with(numbers, recurrent_dropout=0.2)
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        model.fit(np.zeros((2, 4, 5)), np.zeros((2, 6)), verbose=0)
    assert message("recurrent_kernel_blocks", found) in str(error.value)


def test_the_kernel_of_the_inputs_is_named_too():
    model = model_with([0, 1, 2], kernel="reference")
    model.layers[0].kernel_blocks.assign([3, 1, 2])
    for read in (model, ksr.report):
        with pytest.raises(ValueError) as error:
            read(model if read is ksr.report else np.zeros((2, 4, 5), "float32"))
        assert message("kernel_blocks", "[1] = 1 after 3") in str(error.value)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_product_refuses_wrong_ones(kernel):
    grid = BlockGrid(4, 6, 1, (2, 2))
    packed = ops.PackedKernel(np.zeros((2, 2, 2), "float32"), np.array([4, 1], np.int32), grid)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as error:
        ops.block_sparse_matmul(tf.ones((3, 4)), packed, kernel=kernel)
    assert message("kernel_blocks", "[1] = 1 after 4", 5) in str(error.value)


def test_right_blocks_run_under_xla():
    grid = BlockGrid(4, 6, 1, (2, 2))
    values = tf.ones((2, 2, 2))
    unpack = tf.function(lambda blocks: ops.unpack(values, blocks, grid), jit_compile=True)
    right = tf.constant([1, 4])
    np.testing.assert_array_equal(unpack(right), grid.unpack(values, right))
