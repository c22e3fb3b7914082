"""How weights are stored: what each form restores to, and which one is taken."""

import numpy as np
import pytest
from pruned_models import pruned

from keras_sparse_rnn.export import sparse_storage


def weights(block_shape, sparsity, inputs=64, outputs=96, gates=3, seed=0):
    kernel = np.random.default_rng(seed).normal(size=(inputs, outputs)).astype("float32")
    return np.ascontiguousarray(pruned(kernel, block_shape, gates, sparsity, seed).T).astype(
        "float32"
    )


def restore(storage, inputs):
    """The matrix `[outputs, inputs]` that `storage` stands for."""
    if storage.indices is None:
        return storage.values
    block = storage.block
    cut = np.zeros((storage.shape[0], storage.shape[1] // block, block), storage.values.dtype)
    rows = np.repeat(np.arange(storage.shape[0]), np.diff(storage.segments))
    cut[rows, storage.indices] = storage.values
    stored = cut.reshape(storage.shape)
    if storage.gather is None:
        return stored
    restored = np.zeros((storage.shape[0], inputs), stored.dtype)
    for column, source in enumerate(storage.gather):  # an input can be gathered for many groups
        restored[:, source] += stored[:, column]
    return restored


@pytest.mark.parametrize(
    "block_shape, sparsity, kind",
    [
        ((16, 16), 0.9, "blocks"),
        ((4, 4), 0.9, "blocks"),
        ((4, 1), 0.9, "blocks"),
        ((12, 5), 0.9, "blocks"),
        ((1, 16), 0.95, "gathered"),
        ((2, 16), 0.95, "blocks"),
        ((1, 32), 0.9, "gathered"),
        ((1, 1), 0.9, "densified"),
        ((1, 2), 0.9, "densified"),
        ((4, 4), 0.5, "densified"),
        ((4, 4), 0.1, "dense"),
        ((1, 1), 0.2, "dense"),
        ((1, 1), 0.0, "dense"),
    ],
)
def test_each_pattern_gets_the_form_that_suits_it_and_restores_exactly(block_shape, sparsity, kind):
    matrix = weights(block_shape, sparsity)
    form = sparse_storage.choose(matrix)
    assert form.kind == kind
    np.testing.assert_array_equal(restore(form, matrix.shape[1]), matrix)
    assert kind == "dense" or form.bytes < 0.9 * matrix.nbytes


@pytest.mark.parametrize("inputs", [61, 62, 63, 65])
@pytest.mark.parametrize("block_shape", [(16, 16), (4, 4), (1, 16)])
def test_sizes_that_four_does_not_divide_are_gathered(inputs, block_shape):
    matrix = weights(block_shape, 0.95, inputs=inputs, outputs=93)
    form = sparse_storage.choose(matrix)
    assert form.kind == "gathered"
    assert form.shape[1] % 4 == 0
    assert form.gather.max() < inputs
    np.testing.assert_array_equal(restore(form, inputs), matrix)


@pytest.mark.parametrize("shape", [(96, 64), (96, 63), (17, 5)])
def test_all_zero_weights_take_next_to_nothing(shape):
    matrix = np.zeros(shape, "float32")
    form = sparse_storage.choose(matrix)
    assert form.values.size > 0, "a tensor without data is one that is still to be computed"
    assert form.bytes < 6 * shape[0] + 64
    np.testing.assert_array_equal(restore(form, shape[1]), matrix)


def test_rows_without_a_weight_and_a_single_weight():
    matrix = np.zeros((40, 32), "float32")
    matrix[7, 31] = 1.5
    form = sparse_storage.choose(matrix)
    np.testing.assert_array_equal(restore(form, 32), matrix)


def test_nan_is_a_weight_not_a_zero():
    matrix = np.zeros((40, 32), "float32")
    matrix[3, 4] = np.nan
    np.testing.assert_array_equal(restore(sparse_storage.choose(matrix), 32), matrix)


def test_indices_are_stored_in_the_smallest_type():
    for largest, kind in [(255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "int32")]:
        assert sparse_storage.compact(np.array([0, largest])).dtype == kind
    assert sparse_storage.compact(np.array([], int)).dtype == "uint8"
