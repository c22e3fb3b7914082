"""Files that were damaged, by chance or on purpose, are refused in words before the runtime sees
them."""

import json
import os
import subprocess
import sys

import damage
import numpy as np
import pytest
from refusals import message

from keras_sparse_rnn.export import flatbuffer, integrity


def test_a_whole_file_has_no_problem(exported):
    assert integrity.problem(exported.read_bytes()) is None


def test_any_byte_that_is_another_one_is_told(exported, tmp_path):
    whole, path = exported.read_bytes(), tmp_path / "model.tflite"
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        assert "damaged" in message(path) or "not a LiteRT file" in message(path)
    content = bytearray(whole)
    weights = next(
        buffer.data
        for buffer in flatbuffer.unpack(whole).buffers
        if buffer.data is not None and len(buffer.data) > 200
    )
    content[whole.index(bytes(weights)) + 7] ^= 1
    path.write_bytes(content)
    assert message(path) == (
        "is damaged: its content does not have the checksum that it was written with"
    )


def test_a_file_of_an_earlier_version_is_to_be_exported_again(exported, tmp_path):
    model, path = flatbuffer.unpack(exported.read_bytes()), tmp_path / "model.tflite"
    entry = next(one for one in model.metadata if one.name == b"keras_sparse_rnn")
    size = 0
    for _ in range(2):  # the second one knows the size, which stays
        old = json.dumps({"format": 1, "runtime": "builtin", "bytes": f"{size:012}"})
        model.buffers[entry.buffer].data = np.frombuffer(old.encode(), np.uint8)
        size = len(flatbuffer.pack(model))
    path.write_bytes(flatbuffer.pack(model))
    assert message(path) == ("has no checksum: an earlier version wrote it; export the model again")


def first(model):
    return next(one for graph in model.subgraphs for one in damage.sparse_tensors(graph))


def segments(model, place, value):
    axis = first(model).sparsity.dimMetadata[1]
    schema = flatbuffer.schema()
    values = np.array(axis.arraySegments.values, np.int32)
    values[place] = value
    axis.arraySegments = schema.Int32VectorT()
    axis.arraySegments.values = values
    axis.arraySegmentsType = schema.SparseIndexVector.Int32Vector


def indices(model, place, value):
    vector = first(model).sparsity.dimMetadata[1].arrayIndices
    vector.values = vector.values.copy()
    vector.values[place] = value


def order(model):
    first(model).sparsity.traversalOrder = np.array([1, 0, 2], np.int32)


def block_map(model):
    first(model).sparsity.blockMap = np.array([7], np.int32)


def size_of_an_axis(model):
    first(model).sparsity.dimMetadata[2].denseSize = 0


def no_indices(model):
    first(model).sparsity.dimMetadata[1].arrayIndices = None
    first(model).sparsity.dimMetadata[1].arrayIndicesType = 0


def short_buffer(model):
    buffer = model.buffers[first(model).buffer]
    buffer.data = buffer.data[:-16]


def other_shape(model):
    first(model).shape = np.array([64, 3, 4], np.int32)


@pytest.mark.parametrize(
    "change, wrong",
    [
        (
            lambda model: segments(model, 3, 2**31 - 1),
            "with the blocks of each row after those of the row before",
        ),
        (
            lambda model: segments(model, 0, -5),
            "with the blocks of each row after those of the row before",
        ),
        (
            lambda model: indices(model, 0, 200),
            "with ascending blocks in each row, all inside of the matrix",
        ),
        (order, "row by row; its order is [1, 0, 2], its blocks are on the axes [1]"),
        (block_map, "row by row; its order is [0, 1, 2], its blocks are on the axes [7]"),
        (size_of_an_axis, "in 64 rows of blocks; its axes have the sizes [64, 0, 0]"),
        (no_indices, "with a list of its blocks"),
        (short_buffer, "with 448 bytes of weights; it has 432"),
        (other_shape, "as a matrix of float32 or int8; its shape is [64, 3, 4]"),
    ],
    ids=[
        "segment",
        "negative segment",
        "index",
        "order",
        "block map",
        "axis",
        "no indices",
        "buffer",
        "shape",
    ],
)
def test_a_sealed_file_with_other_sparse_weights_is_refused(exported, tmp_path, change, wrong):
    model, path = flatbuffer.unpack(exported.read_bytes()), tmp_path / "model.tflite"
    number = model.subgraphs[0].tensors.index(first(model))
    change(model)
    path.write_bytes(integrity.sealed(model))
    assert message(path) == (
        f"is damaged: the weights of tensor {number} of graph 0 are not stored as `export_litert` "
        f"stores them, {wrong}"
    )


def test_a_sealed_file_with_other_scales_is_refused(exported_integers, tmp_path):
    model, path = flatbuffer.unpack(exported_integers.read_bytes()), tmp_path / "model.tflite"
    number = model.subgraphs[0].tensors.index(first(model))
    first(model).quantization.scale = np.ones(2, np.float32)
    path.write_bytes(integrity.sealed(model))
    assert message(path) == (
        f"is damaged: the weights of tensor {number} of graph 0 are not stored as `export_litert` "
        "stores them, with a scale for each of the outputs, or for all; it has 2"
    )


@pytest.mark.parametrize(
    "kind", ["exported", pytest.param("exported_integers", marks=pytest.mark.slow)]
)
def test_random_damage_to_sparse_weights_never_ends_the_process(kind, request, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(request.getfixturevalue(kind).read_bytes())
    done = subprocess.run(
        [sys.executable, damage.__file__, path, "5", "100"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode} after {done.stdout[-500:]}"
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == 100 and 3 < said.count("ran") < 50
    assert all(one == "ran" or ", which is damaged: " in one for one in said)
