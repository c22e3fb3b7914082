"""Reads and writes LiteRT's file format, a flatbuffer, as the objects of the schema that ships with
`ai_edge_litert`.
"""

import functools

import numpy as np

IDENTIFIER = b"TFL3"
METADATA = "keras_sparse_rnn"


def schema():
    """The schema's Python module, imported when it is first needed."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def unpack(content):
    """The `ModelT` of the bytes of a file."""
    return schema().ModelT.InitFromPackedBuf(content, 0)


def pack(model):
    """The bytes of a `ModelT`."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def data(model, tensor):
    """The bytes of a constant tensor as uint8; None if it is computed."""
    stored = model.buffers[tensor.buffer].data
    return None if stored is None or len(stored) == 0 else np.asarray(stored, np.uint8)


def add_buffer(model, array):
    """Stores `array` (or bytes) and returns the number of its buffer."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(
        array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes(), np.uint8
    )
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_tensor(graph, name, shape, kind, buffer=0, signature=None):
    """Adds a tensor to a subgraph and returns its number. `buffer` 0 is the empty one, of a tensor
    that is computed.
    """
    tensor = schema().TensorT()
    tensor.name, tensor.type, tensor.buffer = name, kind, buffer
    tensor.shape = np.asarray(shape, np.int32)
    tensor.shapeSignature = signature
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_operator(model, graph, position, builtin, inputs, outputs, options=None, options_type=0):
    """Puts an operator of one input list and one output list at `position` into a subgraph."""
    operator = schema().OperatorT()
    operator.opcodeIndex = operator_code(model, builtin)
    operator.inputs, operator.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
    operator.builtinOptions, operator.builtinOptionsType = options, options_type
    graph.operators.insert(position, operator)
    return operator


def operator_code(model, builtin, version=None):
    """The number of the operator code `builtin` in the file, added if it is not there yet. Any
    `version` will do if none is asked for.
    """
    for number, code in enumerate(model.operatorCodes):
        if builtin_of(code) == builtin and version in (None, code.version):
            return number
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = (
        builtin,
        min(builtin, 127),
        version or 1,
    )
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def builtin_of(code):
    """The operator of an operator code: the old field has room for 127 of them, and the new one is
    0 in old files.
    """
    return max(code.builtinCode, code.deprecatedBuiltinCode)


@functools.cache
def builtin_names():
    """The names of the built-in operators by their numbers."""
    builtin = schema().BuiltinOperator
    return {value: name for name, value in vars(builtin).items() if isinstance(value, int)}


def ints(values):
    """A vector of the schema as a list; empty if it is not there."""
    return [] if values is None else [int(one) for one in values]


def operator_names(model):
    """The names of the operators of a file, sorted, each once; a custom one as `CUSTOM:name`."""
    builtin, names = schema().BuiltinOperator, builtin_names()
    used = {operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators}
    found = set()
    for code in (model.operatorCodes[number] for number in used):
        name = names.get(builtin_of(code), str(builtin_of(code)))
        found.add(
            f"CUSTOM:{code.customCode.decode()}" if builtin_of(code) == builtin.CUSTOM else name
        )
    return tuple(sorted(found))


def sweep(model):
    """Removes the tensors and buffers that nothing reads, and the names of the tensors inside, in
    place.
    """
    for number, graph in enumerate(model.subgraphs):
        signatures = [each for each in model.signatureDefs or [] if each.subgraphIndex == number]
        maps = [
            each for signature in signatures for each in [*signature.inputs, *signature.outputs]
        ]
        edges = [*graph.inputs, *graph.outputs]
        lists = [
            each
            for operator in graph.operators
            for each in (operator.inputs, operator.outputs, operator.intermediates)
        ]
        used = sorted(
            {int(n) for each in [edges, *lists] if each is not None for n in each if n >= 0}
        )
        place = {old: new for new, old in enumerate(used)}
        place[-1] = -1  # an optional input that is not given
        graph.tensors = [graph.tensors[old] for old in used]
        for operator in graph.operators:
            operator.inputs, operator.outputs, operator.intermediates = (
                None if each is None else np.asarray([place[int(n)] for n in each], np.int32)
                for each in (operator.inputs, operator.outputs, operator.intermediates)
            )
        graph.inputs, graph.outputs = (
            np.asarray([place[int(n)] for n in each], np.int32)
            for each in (graph.inputs, graph.outputs)
        )
        for each in maps:
            each.tensorIndex = place[each.tensorIndex]
        keep = {place[int(n)] for n in edges}
        for n, tensor in enumerate(graph.tensors):
            tensor.name = tensor.name if n in keep else None
    _sweep_buffers(model)


def _sweep_buffers(model):
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    # A computed tensor needs no buffer of its own: 0 is the empty one that all of them may name.
    for tensor in tensors:
        if data(model, tensor) is None:
            tensor.buffer = 0
    holders = tensors + list(model.metadata or [])
    used = sorted({0} | {holder.buffer for holder in holders})
    place = {old: new for new, old in enumerate(used)}
    model.buffers = [model.buffers[old] for old in used]
    for holder in holders:
        holder.buffer = place[holder.buffer]
    model.metadataBuffer = None


def part_outputs(model):
    """Gives each output of the signatures of a `ModelT` a tensor of its own, by a RESHAPE that
    changes nothing, in place: `CompiledModel` does not run a file in which two are the same tensor,
    or one is an input.
    """
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        taken = set(ints(graph.inputs))
        for output in signature.outputs:
            number = output.tensorIndex
            if number in taken:
                tensor = graph.tensors[number]
                output.tensorIndex = add_tensor(graph, output.name, tensor.shape, tensor.type)
                add_operator(
                    model,
                    graph,
                    len(graph.operators),
                    schema().BuiltinOperator.RESHAPE,
                    [number, constant(model, graph, "shape", np.asarray(tensor.shape, np.int32))],
                    [output.tensorIndex],
                )
            taken.add(output.tensorIndex)
        graph.outputs = np.asarray([output.tensorIndex for output in signature.outputs], np.int32)


def constant(model, graph, name, array):
    """Adds a constant tensor and returns its number."""
    kinds = schema().TensorType
    kind = {"int32": kinds.INT32, "float32": kinds.FLOAT32}[array.dtype.name]
    return add_tensor(graph, name, array.shape, kind, add_buffer(model, array))
