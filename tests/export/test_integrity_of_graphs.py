"""Files that were sealed with a graph that reads sparse weights as something else, or names what
is not there, are refused in words before the runtime sees them.
"""

import re

import numpy as np
import pytest
from refusals import message

from keras_sparse_rnn.export import flatbuffer, integrity


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
