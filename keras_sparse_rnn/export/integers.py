"""Stores the weights of a converted file as int8, per output, in the fastest of the forms that the
stock runtime computes.

All forms round the inputs of a product to int8, too, when the file runs: each row by its largest
number.

- `"dense"`: XNNPACK's product, with a scale for each output;
- `"blocks"`, `"gathered"`: LiteRT's sparse kernel for blocks of 16 neighbouring inputs of one
  output, `(16, 1)` in Keras's terms, on the inputs as they lie or behind a GATHER (see
  `sparse_storage`). A small matrix without zeros may have this form, too, with all its blocks.
  The matrix has one scale, which is 1, and a MUL behind the product has those of the outputs:
  sparse matrices with scales of their own were seen to give wrong outputs.

Where a file has both, the sparse kernel takes four times as long (measured, see
`BESIDE_DENSE`), so the forms are chosen for a whole file. An int8 matrix behind a DENSIFY, a small
file that computes dense, is no choice: the runtime does not start then."""

import numpy as np

from keras_sparse_rnn.export import flatbuffer, sparse_storage
from keras_sparse_rnn.export.sparse_storage import SMALLEST_GAIN
from keras_sparse_rnn.export.sparsify import (
    add_weights,
    is_product,
    read_from,
    weights_of,
)

BLOCK = 16  # inputs in a block of LiteRT's sparse int8 kernel
MOST_BLOCKS = 255  # in a row of the matrix: the kernel counts them in a byte
DENSE_VERSION = 9  # of a FULLY_CONNECTED with int8 weights and float32 inputs
SMALLEST = 1024  # weights of a matrix that is worth rounding
SMALLEST_SCALE = 1e-30  # of an output that is not zero: a bias divided by it is a float32

# Nanoseconds of one core of a server with AVX-512 and VNNI, ai-edge-litert 2.3.0, matrices of 64 by
# 256 to 1024 by 4096: of a call, of each output (the MUL's share included), of each weight.
DENSE_CALL, DENSE_WEIGHT = 400, 0.009
SPARSE_CALL, SPARSE_OUTPUT, SPARSE_WEIGHT, GATHERED_INPUT = 700, 1.3, 0.025, 2.5

BESIDE_DENSE = 4  # times as long takes the sparse kernel in a file with a dense int8 product
HALF_THE_FILE = 1.25  # times as long may take what needs half of the bytes, or less


def rounded(weights):
    """`weights` `[outputs, inputs]` as int8, and the scale of each output, float32. An output whose
    weights are all too small for a scale has zeros.
    """
    scales = np.abs(weights).max(axis=1) / 127
    scales = np.where(scales < SMALLEST_SCALE, 1, scales).astype(np.float32)
    return np.round(weights / scales[:, None]).astype(np.int8), scales


def choose(matrices, lives):
    """The fastest `Storage` of each of the int8 `matrices` `[outputs, inputs]` of one file, a list.

    `lives` are masks of the weights that were not zero before they were rounded: a pattern that is
    full of small weights has holes afterwards.
    """
    sparse = [_sparse(weights, live) for weights, live in zip(matrices, lives)]
    mixed = [
        min(
            [sparse_storage.Storage("dense", weights, weights.shape), *([form] if form else [])],
            key=lambda one: nanoseconds(one, BESIDE_DENSE),
        )
        for weights, form in zip(matrices, sparse)
    ]
    if None in sparse:
        return mixed
    apart, together = (
        sum(nanoseconds(form, slower) for form in forms)
        for forms, slower in ((sparse, 1), (mixed, BESIDE_DENSE))
    )
    small = 2 * sum(form.bytes for form in sparse) < sum(form.bytes for form in mixed)
    return sparse if apart <= together * (HALF_THE_FILE if small else 1) else mixed


def _sparse(weights, live):
    """The fastest form for the sparse kernel; None where a row has too many blocks."""
    forms = [sparse_storage.blocks_of(weights, BLOCK), sparse_storage.gather(weights, BLOCK, live)]
    fit = [one for one in forms if one is not None and one.shape[1] // BLOCK <= MOST_BLOCKS]
    return min(fit, key=nanoseconds, default=None)


def nanoseconds(form, slower=1):
    """What one product is expected to cost, with a sparse kernel that is `slower`."""
    if form.kind == "dense":
        return DENSE_CALL + DENSE_WEIGHT * form.values.size
    gathered = 0 if form.gather is None else form.gather.size
    kernel = SPARSE_OUTPUT * form.shape[0] + SPARSE_WEIGHT * form.values.size
    return SPARSE_CALL + slower * kernel + GATHERED_INPUT * gathered


def quantise(model):
    """Stores the weights of every FULLY_CONNECTED of a `ModelT` that is worth it as int8, in place.

    Returns:
        A list of `Storage`, one for each matrix whose zeros are left out.
    """
    found, lives = {}, []
    for graph in model.subgraphs:
        for operator in _products(model, graph):
            weights = graph.tensors[operator.inputs[1]]
            if weights.buffer not in found:
                floats = weights_of(model, weights)
                found[weights.buffer] = rounded(floats)
                lives.append(floats != 0)
    chosen = choose([matrix for matrix, _ in found.values()], lives)
    forms = {
        key: (form, scales, flatbuffer.add_buffer(model, form.values))
        for (key, (_, scales)), form in zip(found.items(), chosen)
    }
    for graph in model.subgraphs:
        tensors = {}
        for operator in _products(model, graph):
            key = graph.tensors[operator.inputs[1]].buffer
            form, scales, buffer = forms[key]
            if key not in tensors:
                tensors[key] = _add(model, graph, form, scales, buffer)
            number, live_inputs, multiplier = tensors[key]
            read_from(model, graph, operator, form, number, live_inputs)
            if multiplier is None:
                operator.opcodeIndex = flatbuffer.operator_code(
                    model, flatbuffer.schema().BuiltinOperator.FULLY_CONNECTED, DENSE_VERSION
                )
            else:
                _multiply(model, graph, operator, scales, multiplier)
    flatbuffer.sweep(model)
    return [
        form
        for (matrix, _), form in zip(found.values(), chosen)
        if form.values.size < SMALLEST_GAIN * matrix.size
    ]


def _products(model, graph):
    """The operators whose weights are worth rounding, and can be: what is not finite stays as it
    is, and makes outputs that are not.
    """
    found = []
    for operator in graph.operators:
        if is_product(model, graph, operator):
            weights = weights_of(model, graph.tensors[operator.inputs[1]])
            if weights.size >= SMALLEST and np.isfinite(weights).all():
                found.append(operator)
    return found


def _add(model, graph, form, scales, buffer):
    """Adds the tensors of `form`; returns the numbers of the weights, of the gathered inputs' list,
    and of the scales that a MUL takes. The last two are None where there are none.
    """
    number, live_inputs = add_weights(model, graph, form, buffer)
    parameters = flatbuffer.schema().QuantizationParametersT()
    parameters.scale = scales if form.kind == "dense" else np.ones(1, np.float32)
    parameters.zeroPoint = np.zeros(len(parameters.scale), np.int64)
    graph.tensors[number].quantization = parameters
    if form.kind == "dense":
        return number, live_inputs, None
    return number, live_inputs, flatbuffer.constant(model, graph, "scales", scales)


def _multiply(model, graph, operator, scales, multiplier):
    """Puts a MUL behind a FULLY_CONNECTED whose bias and activation are those of the scaled
    product: `(x W + b / s) s`.
    """
    schema = flatbuffer.schema()
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = flatbuffer.data(model, graph.tensors[operator.inputs[2]]).view(np.float32)
        operator.inputs[2] = flatbuffer.constant(model, graph, "bias", bias / scales)
    (output,) = operator.outputs
    tensor = graph.tensors[output]
    product = flatbuffer.add_tensor(
        graph, "product", tensor.shape, tensor.type, signature=tensor.shapeSignature
    )
    operator.outputs = np.asarray([product], np.int32)
    options = schema.MulOptionsT()
    options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
    operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
    place = next(number for number, each in enumerate(graph.operators) if each is operator)
    flatbuffer.add_operator(
        model,
        graph,
        place + 1,
        schema.BuiltinOperator.MUL,
        [product, multiplier],
        [output],
        options,
        schema.BuiltinOptions.MulOptions,
    )
