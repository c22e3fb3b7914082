"""A file holds the live weights and no zeros, and its summary says so."""

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer


def weights_in(path):
    """The sparse tensors of a file, as dense arrays rebuilt from what is on disk by the schema's
    description of the format.
    """
    with open(path, "rb") as file:
        model = flatbuffer.unpack(file.read())
    found = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.sparsity is None:
                continue
            rows, columns, *inside = tensor.sparsity.dimMetadata
            block = inside[0].denseSize if inside else 1
            segments, indices = columns.arraySegments.values, columns.arrayIndices.values
            values = flatbuffer.data(model, tensor).view(np.float32).reshape(len(indices), block)
            dense = np.zeros((rows.denseSize, tensor.shape[1] // block, block), np.float32)
            for row in range(rows.denseSize):
                for place in range(segments[row], segments[row + 1]):
                    dense[row, indices[place]] = values[place]
            found.append((dense.reshape(tensor.shape), len(values) * block))
    return found


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """An LSTM large enough that its weights are the file, exported in several patterns: (model,
    kernels, summary) of each.
    """
    keras.utils.set_random_seed(0)
    layer = keras.layers.LSTM(192, return_sequences=True)
    model = randomised(
        keras.Sequential(
            [keras.Input((20, 64), name="features"), layer, keras.layers.Dense(3, name="out")]
        )
    )
    dense = layer.get_weights()
    exported = {}
    for shape in [(16, 16), (1, 16), (1, 1)]:
        layer.set_weights(dense)
        prune(layer, shape, 0.9)
        path = tmp_path_factory.mktemp("big") / "model.tflite"
        summary = export.export_litert(model, path)
        exported[shape] = layer.get_weights(), summary
    return exported


@pytest.mark.parametrize(
    "shape, ratio, computed", [((16, 16), 6.3, 2), ((1, 16), 5.6, 2), ((1, 1), 5.4, 0)]
)
def test_the_zeros_are_not_in_the_file(big, shape, ratio, computed):
    _, summary = big[shape]
    assert summary.ratio > ratio
    assert (summary.sparse_tensors, summary.computed_sparse) == (2, computed)
    assert ("DENSIFY" in summary.operators) == (computed == 0)


def test_what_is_stored_is_the_kernel_without_its_dead_blocks(big):
    (kernel, recurrent, _), summary = big[16, 16]
    stored = {matrix.shape: (matrix, count) for matrix, count in weights_in(summary.path)}
    for weights in (kernel, recurrent):
        matrix, count = stored[weights.T.shape]
        np.testing.assert_array_equal(matrix, weights.T)
        assert count == np.count_nonzero(weights)


def test_gathered_weights_are_the_live_ones_once(big):
    (kernel, recurrent, _), summary = big[1, 16]
    values = [np.sort(matrix[matrix != 0]) for matrix, _ in weights_in(summary.path)]
    for weights in (kernel, recurrent):
        assert any(np.array_equal(np.sort(weights[weights != 0]), each) for each in values)
    stored = sum(count for _, count in weights_in(summary.path))
    assert stored < 1.15 * (np.count_nonzero(kernel) + np.count_nonzero(recurrent)), (
        "groups are filled up to fours, no more"
    )


def test_the_summary_prints_what_matters(big):
    lines = str(big[16, 16][1]).splitlines()
    assert "times smaller than dense" in lines[0] and "bytes" in lines[0]
    assert lines[2].endswith("ms (one inference of 20 steps, batch 1, 1 thread)")
    assert lines[3].endswith("2 stored, 2 of them computed sparse")
    assert "WHILE" in lines[4]
