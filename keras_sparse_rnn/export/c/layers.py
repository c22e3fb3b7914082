"""What each Keras layer does with a frame, as steps of a model's file."""

import keras
import numpy as np

from keras_sparse_rnn import layers as block_sparse
from keras_sparse_rnn import ops
from keras_sparse_rnn.export import cell_file, cell_weights
from keras_sparse_rnn.export.c import file
from keras_sparse_rnn.export.c.writer import Refused, activation_of
from keras_sparse_rnn.export.cells import array
from keras_sparse_rnn.layers import storage
from keras_sparse_rnn.substitution.block_shapes import best_block_shape

K = keras.layers
# What they do, they do in training.
NOTHING = (
    K.ActivityRegularization,
    K.AlphaDropout,
    K.Dropout,
    K.GaussianDropout,
    K.GaussianNoise,
    K.Identity,
    K.SpatialDropout1D,
)
AHEAD = "it needs the whole sequence, also what comes after a frame"
ADVICE = {
    K.Bidirectional: f"{AHEAD}; train its forward layer alone, or export the model for whole "
    "sequences with ksr.export_litert",
    K.Masking: "a stream has no mask; leave it out, and give the stream only the steps that count",
    K.GlobalAveragePooling1D: f"{AHEAD}; let the last recurrent layer have return_sequences=False "
    "instead",
    K.GlobalMaxPooling1D: f"{AHEAD}; let the last recurrent layer have return_sequences=False "
    "instead",
    K.Flatten: f"{AHEAD}; let the last recurrent layer have return_sequences=False instead",
    K.LayerNormalization: "it is not among the layers that are known here; use "
    "BatchNormalization, or export the model with ksr.export_litert",
}


def write(writer, layer, sources):
    """Writes `layer`, which reads the registers `sources`; returns the register of its output.

    Raises:
        Refused: it cannot be exported.
    """
    if type(layer) in NOTHING:
        return sources[0]
    if getattr(layer, "quantization_mode", None):
        raise Refused(
            f"Keras has quantized it ({layer.quantization_mode}); export the float model with "
            "`weights=`"
        )
    of_this_kind = WRITERS.get(type(layer))
    if not isinstance(layer, keras.Layer):
        of_this_kind = OPERATIONS.get(type(layer).__name__)
        if of_this_kind and len(sources) < 2:
            raise Refused("it has a number beside a tensor; use the layer Rescaling")
    if of_this_kind is None:
        known = ", ".join(sorted({kind.__name__ for kind in (*WRITERS, *NOTHING)}))
        raise Refused(
            ADVICE.get(type(layer), f"it is not among the layers that are known here: {known}")
        )
    if len(sources) != 1 and of_this_kind not in MERGING:
        raise Refused(
            "it reads several inputs; a stream begins at zero states, so leave the others out"
        )
    return of_this_kind(writer, layer, sources if of_this_kind in MERGING else sources[0])


def _cell(writer, layer, cell, source):
    """Writes the `CellWeights` of a layer, with its packed kernels as they are, where it keeps them
    packed; returns the register.
    """
    weights, activations = writer.precision_of(layer)
    names, owner = ("kernel", "recurrent_kernel"), getattr(layer, "cell", layer)
    own = "float32"
    if getattr(layer, "storage", None) == "packed":
        own = layer.weights_choice
        kernels = [
            storage.packed_kernel(owner, name, grid, "float32", own)
            for name, grid in zip(names, layer.grids)
        ]
    else:
        grids = getattr(layer, "grids", None) or [_grid(each, cell.gates) for each in cell.kernels]
        kernels = [cell_weights.pack(kernel, grid) for kernel, grid in zip(cell.kernels, grids)]
    if own == "float32":
        kernels = [ops.quantize(kernel, weights, activations) for kernel in kernels]
    return writer.cell(cell, kernels, activations, source)


def _grid(kernel, gates):
    """The `BlockGrid` in which a kernel costs least."""
    return cell_weights.grid_of(kernel, gates, best_block_shape(kernel, gates))


def recurrent(writer, layer, source):
    for problem, what in (
        (layer.go_backwards, f"it has go_backwards=True: {AHEAD}; use go_backwards=False"),
        (layer.return_state, "it has return_state=True; use return_state=False, a stream keeps it"),
    ):
        if problem:
            raise Refused(what)
    inner = layer.cell
    simple = isinstance(layer, K.SimpleRNN)
    name = activation_of(layer, inner.activation, ("tanh", "relu") if simple else ("tanh",))
    if not simple:
        activation_of(layer, inner.recurrent_activation, ("sigmoid",))
    return _cell(writer, layer, cell_weights.recurrent(layer, name), source)


def dense(writer, layer, source):
    name = activation_of(layer, layer.activation)
    return _cell(writer, layer, cell_weights.dense(layer, name), source)


def conv1d(writer, layer, source):
    size, groups = layer.kernel_size[0], layer.groups
    if layer.strides != (1,):
        raise Refused(
            f"it has strides={layer.strides[0]}; use strides=1, one output for each frame"
        )
    if layer.data_format != "channels_last":
        raise Refused('it has data_format="channels_first"; use "channels_last"')
    if layer.padding != "causal" and size > 1:
        raise Refused(f'it has padding="{layer.padding}": {AHEAD}; use padding="causal"')
    name = activation_of(layer, layer.activation)
    inputs, filters = writer.width(source), layer.filters
    kernel = np.zeros((size, inputs, filters), np.float32)
    own = array(layer.kernel)
    for group in range(groups):
        rows = slice(group * (inputs // groups), (group + 1) * (inputs // groups))
        columns = slice(group * (filters // groups), (group + 1) * (filters // groups))
        kernel[:, rows, columns] = own[:, :, columns]
    if size > 1:
        options = {"window": size, "dilation": layer.dilation_rate[0]}
        source = writer.file.step(file.WINDOW, source, inputs * size, **options)
    bias = None if layer.bias is None else array(layer.bias)
    kernels = (kernel.reshape(-1, filters),)
    cell = cell_weights.CellWeights("dense", kernels, bias, activation=name)
    return _cell(writer, layer, cell, source)


def embedding(writer, layer, source):
    if layer.mask_zero:
        raise Refused(
            "it has mask_zero=True; use mask_zero=False, and give the stream only the steps that "
            "count"
        )
    table, scales = array(layer.embeddings), b""
    kind = writer.weights
    if kind == "int8":
        rows = np.abs(table).max(axis=1, keepdims=True) / 127
        table = np.round(table / np.where(rows > 0, rows, 1)).astype(np.int8)
        scales = rows.astype("<f4").tobytes()
    elif kind == "bfloat16":
        table = np.asarray(keras.ops.cast(table, "bfloat16"))
    options = {"type": cell_file.TYPES.index(kind), "rows": layer.input_dim, "scales": scales}
    return writer.file.step(
        file.EMBEDDING, source, layer.output_dim, data=table.tobytes(), **options
    )


def batch_normalization(writer, layer, source):
    if layer.axis not in (-1, 2):
        raise Refused(f"it has axis={layer.axis}; use axis=-1")
    mean, variance = (np.asarray(x, np.float64) for x in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    scale = scale * np.asarray(layer.gamma, np.float64) if layer.scale else scale
    offset = -mean * scale
    offset = offset + np.asarray(layer.beta, np.float64) if layer.center else offset
    return writer.affine(scale, offset, source)


def rescaling(writer, layer, source):
    return writer.affine(layer.scale, layer.offset, source)


def activation(writer, layer, source):
    return writer.activate(activation_of(layer, layer.activation), source)


def relu(writer, layer, source):
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise Refused("it is no plain relu; use ReLU() without arguments")
    return writer.activate("relu", source)


def softmax(writer, layer, source):
    if layer.axis != -1:
        raise Refused(f"it has axis={layer.axis}; use axis=-1")
    return writer.activate("softmax", source)


def time_distributed(writer, layer, source):
    return write(writer, layer.layer, [source])


def _merge(kind, writer, layer, sources):
    out = sources[0]
    widths = {writer.width(source) for source in sources}
    if len(widths) > 1:
        raise Refused("its inputs have different sizes; give them the same")
    for other in sources[1:]:
        out = writer.file.step(kind, out, writer.width(out), other=other)
    return out


def add(writer, layer, sources):
    return _merge(file.ADD, writer, layer, sources)


def multiply(writer, layer, sources):
    return _merge(file.MULTIPLY, writer, layer, sources)


def concatenate(writer, layer, sources):
    if layer.axis not in (-1, 2):
        raise Refused(f"it has axis={layer.axis}; use axis=-1")
    widths = [writer.width(source) for source in sources]
    out = writer.file.register(sum(widths))
    for number, source in enumerate(sources):
        place = sum(widths[:number])
        writer.file.step(file.COPY, source, sum(widths), out=out, place=place)
    return out


MERGING = (add, multiply, concatenate)
OPERATIONS = {"Add": add, "Multiply": multiply}  # what a + b and a * b of tensors are
WRITERS = {
    K.LSTM: recurrent,
    K.GRU: recurrent,
    K.SimpleRNN: recurrent,
    block_sparse.BlockSparseLSTM: recurrent,
    block_sparse.BlockSparseGRU: recurrent,
    block_sparse.BlockSparseSimpleRNN: recurrent,
    K.Dense: dense,
    block_sparse.BlockSparseDense: dense,
    K.Conv1D: conv1d,
    K.Embedding: embedding,
    K.BatchNormalization: batch_normalization,
    K.Rescaling: rescaling,
    K.Activation: activation,
    K.ReLU: relu,
    K.Softmax: softmax,
    K.TimeDistributed: time_distributed,
    K.Add: add,
    K.Multiply: multiply,
    K.Concatenate: concatenate,
}
