"""What the operators of a file read: numbers that lie in the file, the options that their kernels
need, and sparse weights only where `sparsify` puts them.

Kernels take a tensor's memory for a dense array of its shape unless they were made for sparse ones,
so sparse weights anywhere else are read beyond their end."""

from keras_sparse_rnn.export import flatbuffer
from keras_sparse_rnn.export.sparsify import SPARSE_VERSION

# The operators with settings that the converter, or `sparsify`, always writes. The runtime leaves
# those of an operator that has none in the file as they come.
OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PACK": "PackOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "UNPACK": "UnpackOptions",
    "WHILE": "WhileOptions",
}


def wrong_wiring(model):
    """What is wrong with the operators and edges of a `ModelT`, as a clause about the file, or
    None.
    """
    return _wrong_numbers(model) or _wrong_options(model) or _wrong_use(model)


def _wrong_numbers(model):
    """Tensors, buffers, operator codes and subgraphs that are not there."""
    if any(buffer.offset for buffer in model.buffers):
        return "which is damaged: it has a buffer outside of its tables, where none is written"
    for place, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            if not 0 <= tensor.buffer < len(model.buffers):
                return (
                    f"which is damaged: tensor {number} of graph {place} has the buffer "
                    f"{tensor.buffer} of {len(model.buffers)}"
                )
        count = len(graph.tensors)
        for what, numbers in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            if wrong := [n for n in flatbuffer.ints(numbers) if not 0 <= n < count]:
                return f"which is damaged: graph {place} has the {what} {wrong} of {count} tensors"
        for number, operator in enumerate(graph.operators):
            start = f"which is damaged: operator {number} of graph {place} has the"
            if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
                return f"{start} code {operator.opcodeIndex} of {len(model.operatorCodes)}"
            for what, least in (("inputs", -1), ("outputs", 0), ("intermediates", 0)):
                numbers = flatbuffer.ints(getattr(operator, what))
                if wrong := [n for n in numbers if not least <= n < count]:
                    return f"{start} {what} {wrong} of {count} tensors"
            if _name(model, operator) == "WHILE":
                graphs = [
                    getattr(operator.builtinOptions, f"{what}SubgraphIndex", 0)
                    for what in ("cond", "body")
                ]
                if wrong := [n for n in graphs if not 0 <= n < len(model.subgraphs)]:
                    return f"{start} graphs {wrong} of {len(model.subgraphs)}"
    return None


def _wrong_options(model):
    kinds = flatbuffer.schema().BuiltinOptions
    for place, graph in enumerate(model.subgraphs):
        for number, operator in enumerate(graph.operators):
            name = _name(model, operator)
            wanted = OPTIONS.get(name)
            if wanted is not None and (
                operator.builtinOptions is None
                or operator.builtinOptionsType != getattr(kinds, wanted)
            ):
                return (
                    f"which is damaged: operator {number} of graph {place}, a {name}, has no "
                    f"{wanted}"
                )
    return None


def _wrong_use(model):
    """Sparse tensors that something else reads or writes than what `sparsify` lets read them."""
    for place, graph in enumerate(model.subgraphs):
        sparse = {n for n, tensor in enumerate(graph.tensors) if tensor.sparsity is not None}
        for number in sorted(sparse):
            if graph.tensors[number].isVariable:
                return _refused(number, place, "a variable")
        for what, numbers in (("an input", graph.inputs), ("an output", graph.outputs)):
            for number in sorted(sparse.intersection(flatbuffer.ints(numbers))):
                return _refused(number, place, f"{what} of the graph")
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = _name(model, operator)
            for what in ("outputs", "intermediates"):
                for number in sorted(sparse.intersection(flatbuffer.ints(getattr(operator, what)))):
                    return _refused(number, place, f"among the {what} of a {name}")
            for position, number in enumerate(flatbuffer.ints(operator.inputs)):
                if number in sparse and (name, position, code.version) not in (
                    ("FULLY_CONNECTED", 1, SPARSE_VERSION),
                    ("DENSIFY", 0, code.version),
                ):
                    return _refused(
                        number, place, f"input {position} of a {name} of version {code.version}"
                    )
    return None


def _refused(number, place, use):
    return (
        f"which is damaged: the sparse weights of tensor {number} of graph {place} may be read as "
        f"input 1 of a FULLY_CONNECTED of version {SPARSE_VERSION} or by a DENSIFY only; they are "
        f"{use}"
    )


def _name(model, operator):
    """The name of a built-in operator; its number where the schema has none."""
    number = flatbuffer.builtin_of(model.operatorCodes[operator.opcodeIndex])
    return flatbuffer.builtin_names().get(number, str(number))
