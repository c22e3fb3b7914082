"""The passes over a converted file that take the zeros out of it."""

import numpy as np

from keras_sparse_rnn.export import flatbuffer, sparse_storage

SPARSE_VERSION = 8

def sparsify(model):
    """Stores the weights of every FULLY_CONNECTED of a `ModelT` in their best form (see `sparse_storage`), in place.

    Returns:
        A list of `Storage`, one per weight matrix that is not stored dense.
    """
    stored, forms = [], {}
    for graph in model.subgraphs:
        done = {}
        for operator in [each for each in graph.operators if is_product(model, graph, each)]:
            key = graph.tensors[operator.inputs[1]].buffer
            if key not in forms:
                forms[key] = sparse_storage.choose(weights_of(model, graph.tensors[operator.inputs[1]]))
                if forms[key].kind != "dense":
                    stored.append(forms[key])
            if forms[key].kind != "dense":
                _rewrite(model, graph, operator, forms[key], done, key)
    flatbuffer.sweep(model)
    return stored


def is_product(model, graph, operator):
    """Whether an operator is a FULLY_CONNECTED with constant, dense float32 weights."""
    schema = flatbuffer.schema()
    if flatbuffer.builtin_of(model.operatorCodes[operator.opcodeIndex]) != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    weights = graph.tensors[operator.inputs[1]]
    return (
        weights.type == schema.TensorType.FLOAT32
        and weights.sparsity is None
        and flatbuffer.data(model, weights) is not None
    )


def weights_of(model, tensor):
    """The dense float32 array of a constant tensor."""
    return flatbuffer.data(model, tensor).view(np.float32).reshape(tensor.shape)


def _rewrite(model, graph, operator, form, done, key):
    """Lets a FULLY_CONNECTED read `form`; operators of one subgraph that share weights share the new tensors too."""
    schema = flatbuffer.schema()
    builtin = schema.BuiltinOperator
    if key not in done:
        buffer = ("values", key)
        number = flatbuffer.add_tensor(graph, "weights", form.shape, schema.TensorType.FLOAT32)
        tensor = graph.tensors[number]
        tensor.sparsity = sparsity_parameters(form)
        tensor.buffer = model_buffer(model, form)
        if form.kind == "densified":
            dense = flatbuffer.add_tensor(graph, "densified", form.shape, schema.TensorType.FLOAT32)
            flatbuffer.add_operator(
                model, graph, 0, builtin.DENSIFY, [number], [dense], schema.DensifyOptionsT(),
                schema.BuiltinOptions.DensifyOptions,
            )
            number = dense
        done[key] = number
    operator.inputs = np.array(operator.inputs)
    if form.kind != "densified":
        operator.opcodeIndex = flatbuffer.operator_code(model, builtin.FULLY_CONNECTED, SPARSE_VERSION)
    operator.inputs[1] = done[key]
    if form.gather is not None:
        inputs = graph.tensors[operator.inputs[0]]
        position = next(n for n, each in enumerate(graph.operators) if each is operator)
        shape = list(inputs.shape[:-1]) + [len(form.gather)]
        signature = inputs.shapeSignature
        if signature is not None:
            signature = np.asarray(list(signature[:-1]) + [len(form.gather)], np.int32)
        if ("gather", key) not in done:
            done["gather", key] = flatbuffer.constant(model, graph, "live_inputs", form.gather)
        gathered = flatbuffer.add_tensor(graph, "gathered", shape, schema.TensorType.FLOAT32, signature=signature)
        options = schema.GatherOptionsT()
        options.axis = len(shape) - 1
        flatbuffer.add_operator(
            model, graph, position, builtin.GATHER, [operator.inputs[0], done["gather", key]], [gathered], options,
            schema.BuiltinOptions.GatherOptions,
        )
        operator.inputs[0] = gathered


_buffers = {}


def model_buffer(model, form):
    return flatbuffer.add_buffer(model, form.values)


def sparsity_parameters(form):
    """The schema's `SparsityParametersT` of a compressed `Storage`."""
    schema = flatbuffer.schema()
    dense, sparse = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
    rows = schema.DimensionMetadataT()
    rows.format, rows.denseSize = dense, form.shape[0]
    columns = schema.DimensionMetadataT()
    columns.format, columns.denseSize = sparse, 0
    columns.arraySegments, columns.arraySegmentsType = _vector(form.segments)
    columns.arrayIndices, columns.arrayIndicesType = _vector(form.indices)
    dimensions = [rows, columns]
    if form.block > 1:
        inside = schema.DimensionMetadataT()
        inside.format, inside.denseSize = dense, form.block
        dimensions.append(inside)
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder = np.arange(len(dimensions), dtype=np.int32)
    if form.block > 1:
        parameters.blockMap = np.asarray([1], np.int32)
    parameters.dimMetadata = dimensions
    return parameters


def _vector(array):
    """An index vector in its smallest type, and the schema's number of that type."""
    schema = flatbuffer.schema()
    array = sparse_storage.compact(array)
    vector, kind = {
        "uint8": (schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector),
        "uint16": (schema.Uint16VectorT, schema.SparseIndexVector.Uint16Vector),
        "int32": (schema.Int32VectorT, schema.SparseIndexVector.Int32Vector),
    }[array.dtype.name]
    vector = vector()
    vector.values = array
    return vector, kind
