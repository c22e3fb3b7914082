"""Takes the zeros out of the weights of a converted file."""

import numpy as np

from keras_sparse_rnn.export import flatbuffer, sparse_storage

# XNNPACK, which runs most operators on a processor, takes every FULLY_CONNECTED up to a certain
# version and would read the stored blocks as if they were a dense matrix. This is the version from
# which on weights may be sparse; the runtime keeps those for its own kernel.
SPARSE_VERSION = 8


def sparsify(model):
    """Stores the weights of every FULLY_CONNECTED of a `ModelT` in their best form (see
    `sparse_storage`), in place.

    Returns:
        A list of `Storage`, one for each weight matrix that is not stored dense.
    """
    forms, buffers = {}, {}
    for graph in model.subgraphs:
        tensors = {}
        for operator in [each for each in graph.operators if is_product(model, graph, each)]:
            weights = graph.tensors[operator.inputs[1]]
            key = weights.buffer
            if key not in forms:
                forms[key] = sparse_storage.choose(weights_of(model, weights))
            form = forms[key]
            if form.kind == "dense":
                continue
            if key not in buffers:
                buffers[key] = flatbuffer.add_buffer(model, form.values)
            if (
                key not in tensors
            ):  # operators of one subgraph that share weights go on sharing them
                tensors[key] = add_weights(model, graph, form, buffers[key])
            read_from(model, graph, operator, form, *tensors[key])
    flatbuffer.sweep(model)
    return [form for form in forms.values() if form.kind != "dense"]


def sparsity_of(model, others=()):
    """The fraction of the weights of all FULLY_CONNECTED of a `ModelT` that is zero, each matrix
    counted once, and of `others`, dense arrays.
    """
    matrices = {
        (tensor := graph.tensors[operator.inputs[1]]).buffer: weights_of(model, tensor)
        for graph in model.subgraphs
        for operator in graph.operators
        if is_product(model, graph, operator)
    }
    every = [*matrices.values(), *others]
    size = sum(matrix.size for matrix in every)
    live = sum(np.count_nonzero(matrix) for matrix in every)
    return round(1 - live / size, 6) if size else 0.0


def is_product(model, graph, operator):
    """Whether an operator is a FULLY_CONNECTED with constant, dense float32 weights."""
    schema = flatbuffer.schema()
    if (
        flatbuffer.builtin_of(model.operatorCodes[operator.opcodeIndex])
        != schema.BuiltinOperator.FULLY_CONNECTED
    ):
        return False
    weights = graph.tensors[operator.inputs[1]]
    if weights.type != schema.TensorType.FLOAT32 or weights.sparsity is not None:
        return False
    return flatbuffer.data(model, weights) is not None


def weights_of(model, tensor):
    """The dense float32 array of a constant tensor."""
    return flatbuffer.data(model, tensor).view(np.float32).reshape(tensor.shape)


def add_weights(model, graph, form, buffer):
    """Adds the tensors of `form`; returns the number of the weights that the operators read, and
    that of the gathered inputs' list.
    """
    schema = flatbuffer.schema()
    kinds = schema.TensorType
    kind = kinds.INT8 if form.values.dtype == np.int8 else kinds.FLOAT32
    weights = flatbuffer.add_tensor(graph, "weights", form.shape, kind, buffer)
    if form.kind != "dense":
        graph.tensors[weights].sparsity = sparsity_parameters(form)
    if form.kind == "densified":
        dense = flatbuffer.add_tensor(graph, "densified", form.shape, schema.TensorType.FLOAT32)
        options = schema.DensifyOptionsT(), schema.BuiltinOptions.DensifyOptions
        flatbuffer.add_operator(
            model, graph, 0, schema.BuiltinOperator.DENSIFY, [weights], [dense], *options
        )
        weights = dense
    return weights, None if form.gather is None else flatbuffer.constant(
        model, graph, "live_inputs", form.gather
    )


def read_from(model, graph, operator, form, weights, live_inputs):
    """Lets a FULLY_CONNECTED read the new `weights`, and its input through a GATHER of
    `live_inputs` if there are some.
    """
    builtin = flatbuffer.schema().BuiltinOperator
    operator.inputs = np.array(operator.inputs)
    operator.inputs[1] = weights
    if form.kind in sparse_storage.FAST:
        operator.opcodeIndex = flatbuffer.operator_code(
            model, builtin.FULLY_CONNECTED, SPARSE_VERSION
        )
    if live_inputs is not None:
        operator.inputs[0] = _add_gather(model, graph, operator, live_inputs, len(form.gather))


def _add_gather(model, graph, operator, live_inputs, count):
    """Puts a GATHER on the last axis before `operator`; returns the number of its output."""
    schema = flatbuffer.schema()
    inputs = graph.tensors[operator.inputs[0]]
    signature = inputs.shapeSignature
    if signature is not None:
        signature = np.asarray([*signature[:-1], count], np.int32)
    shape = [*inputs.shape[:-1], count]
    gathered = flatbuffer.add_tensor(
        graph, "gathered", shape, schema.TensorType.FLOAT32, signature=signature
    )
    options = schema.GatherOptionsT()
    options.axis = len(shape) - 1
    flatbuffer.add_operator(
        model,
        graph,
        next(number for number, each in enumerate(graph.operators) if each is operator),
        schema.BuiltinOperator.GATHER,
        [operator.inputs[0], live_inputs],
        [gathered],
        options,
        schema.BuiltinOptions.GatherOptions,
    )
    return gathered


def sparsity_parameters(form):
    """The schema's description of a compressed `Storage`: a dense axis of rows, in it a sparse one
    of blocks, in that the block.
    """
    schema = flatbuffer.schema()
    rows, columns, inside = (schema.DimensionMetadataT() for _ in range(3))
    rows.format, rows.denseSize = schema.DimensionType.DENSE, form.shape[0]
    columns.format = schema.DimensionType.SPARSE_CSR
    columns.arraySegments, columns.arraySegmentsType = _vector(form.segments)
    columns.arrayIndices, columns.arrayIndicesType = _vector(form.indices)
    inside.format, inside.denseSize = schema.DimensionType.DENSE, form.block
    blocked = form.block > 1
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder = np.arange(3 if blocked else 2, dtype=np.int32)
    parameters.blockMap = np.asarray([1], np.int32) if blocked else None
    parameters.dimMetadata = [rows, columns, inside] if blocked else [rows, columns]
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
