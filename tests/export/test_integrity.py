"""Files that were damaged, by chance or on purpose, are refused in words before the runtime sees
them."""

import json
import os
import re
import subprocess
import sys

import damage
import keras
import numpy as np
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer, integrity


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file with sparse weights of every kind: blocks, gathered and densified."""
    recurrent = [
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.GRU(16, return_sequences=True),
        keras.layers.SimpleRNN(20),
    ]
    model = randomised(
        keras.Sequential([keras.Input((3, 12), name="x"), *recurrent, keras.layers.Dense(2)])
    )
    for layer, block_shape, sparsity in zip(recurrent, [(4, 1), (1, 8), (1, 1)], [0.85, 0.85, 0.7]):
        prune(layer, block_shape, sparsity)
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    summary = export.export_litert(model, path)
    assert 0 < summary.computed_sparse < summary.sparse_tensors
    return path


def message(path):
    with pytest.raises(ValueError) as error:
        export.Interpreter(path)
    start = (
        f"`path` must be a file that `export_litert` wrote. Received: path={str(path)!r} of "
        f"{path.stat().st_size} bytes, which "
    )
    text = str(error.value)
    assert text.startswith(start)
    return text.removeprefix(start)


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
        (other_shape, "as a float32 matrix; its shape is [64, 3, 4]"),
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


def operators(model, name):
    """The operators of that name in the first graph of a file that has one."""
    builtin = getattr(flatbuffer.schema().BuiltinOperator, name)
    for graph in model.subgraphs:
        found = [
            each
            for each in graph.operators
            if flatbuffer.builtin_of(model.operatorCodes[each.opcodeIndex]) == builtin
        ]
        if found:
            return graph, found
    raise LookupError(name)


def sparse_product(model):
    """`(graph, a FULLY_CONNECTED that reads sparse weights, their number)`."""
    graph, found = operators(model, "FULLY_CONNECTED")
    return next(
        (graph, each, int(each.inputs[1]))
        for each in found
        if graph.tensors[each.inputs[1]].sparsity is not None
    )


def read_by(model, name, place):
    graph, _, number = sparse_product(model)
    _, found = operators(model, name)
    found[-1].inputs = np.array(found[-1].inputs)
    found[-1].inputs[place] = number
    return f"input {place} of a {name} of version 1"


def described_as_sparse(model):
    """As in a crafted file: what a MUL reads is described as sparse weights are."""
    graph, _, number = sparse_product(model)
    changed, found = operators(model, "MUL")
    assert changed is graph
    mine, theirs = graph.tensors[found[0].inputs[0]], graph.tensors[number]
    mine.sparsity, mine.buffer, mine.type = theirs.sparsity, theirs.buffer, theirs.type
    mine.shape, mine.shapeSignature = theirs.shape, None
    writer = next(each for each in graph.operators if int(found[0].inputs[0]) in [*each.outputs])
    code = model.operatorCodes[writer.opcodeIndex]
    names = vars(flatbuffer.schema().BuiltinOperator).items()
    name = next(key for key, value in names if value == flatbuffer.builtin_of(code))
    return f"among the outputs of a {name}"


def older_product(model):
    _, product, _ = sparse_product(model)
    product.opcodeIndex = flatbuffer.operator_code(
        model, flatbuffer.schema().BuiltinOperator.FULLY_CONNECTED, 1
    )
    return "input 1 of a FULLY_CONNECTED of version 1"


def a_variable(model):
    graph, _, number = sparse_product(model)
    graph.tensors[number].isVariable = True
    return "a variable"


def an_output(model):
    graph, _, number = sparse_product(model)
    graph.outputs = np.array([number], np.int32)
    return "an output of the graph"


@pytest.mark.parametrize(
    "change",
    [
        described_as_sparse,
        lambda model: read_by(model, "MUL", 0),
        lambda model: read_by(model, "ADD", 1),
        older_product,
        a_variable,
        an_output,
    ],
    ids=["written", "MUL", "ADD", "older", "variable", "output"],
)
def test_sparse_weights_that_something_else_reads_are_refused(exported, tmp_path, change):
    model, path = flatbuffer.unpack(exported.read_bytes()), tmp_path / "model.tflite"
    use = change(model)
    path.write_bytes(integrity.sealed(model))
    text = message(path)
    assert re.fullmatch(
        "is damaged: the sparse weights of tensor [0-9]+ of graph 0 may be read as input 1 of a "
        f"FULLY_CONNECTED of version 8 or by a DENSIFY only; they are {use}",
        text,
    ), text


def no_such_tensor(model):
    model.subgraphs[0].operators[0].inputs = np.array([99_999, -1], np.int32)
    return "operator 0 of graph 0 has the inputs [99999] of {tensors} tensors"


def no_such_output(model):
    model.subgraphs[0].operators[0].outputs = np.array([-1], np.int32)
    return "operator 0 of graph 0 has the outputs [-1] of {tensors} tensors"


def no_such_result(model):
    model.subgraphs[0].outputs = np.array([99_999], np.int32)
    return "graph 0 has the outputs [99999] of {tensors} tensors"


def no_such_buffer(model):
    model.subgraphs[0].tensors[0].buffer = 99_999
    return "tensor 0 of graph 0 has the buffer 99999 of {buffers}"


def no_such_code(model):
    model.subgraphs[0].operators[0].opcodeIndex = 99_999
    return "operator 0 of graph 0 has the code 99999 of {codes}"


def no_options(model):
    graph, found = operators(model, "FULLY_CONNECTED")
    found[0].builtinOptions, found[0].builtinOptionsType = None, 0
    number = graph.operators.index(found[0])
    return f"operator {number} of graph 0, a FULLY_CONNECTED, has no FullyConnectedOptions"


def other_options(model):
    graph, found = operators(model, "SPLIT")
    schema = flatbuffer.schema()
    found[0].builtinOptions = schema.AddOptionsT()
    found[0].builtinOptionsType = schema.BuiltinOptions.AddOptions
    return f"operator {graph.operators.index(found[0])} of graph 0, a SPLIT, has no SplitOptions"


@pytest.mark.parametrize(
    "change",
    [
        no_such_tensor,
        no_such_output,
        no_such_result,
        no_such_buffer,
        no_such_code,
        no_options,
        other_options,
    ],
)
def test_a_sealed_file_that_names_what_is_not_there_is_refused(exported, tmp_path, change):
    model, path = flatbuffer.unpack(exported.read_bytes()), tmp_path / "model.tflite"
    wrong = change(model)
    path.write_bytes(integrity.sealed(model))
    assert message(path) == "is damaged: " + wrong.format(
        tensors=len(model.subgraphs[0].tensors),
        buffers=len(model.buffers),
        codes=len(model.operatorCodes),
    )


def test_random_damage_to_sparse_weights_never_ends_the_process(exported, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(exported.read_bytes())
    done = subprocess.run(
        [sys.executable, damage.__file__, path, "5", "300"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode} after {done.stdout[-500:]}"
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == 300 and 10 < said.count("ran") < 150
    assert all(one == "ran" or ", which is damaged: " in one for one in said)
