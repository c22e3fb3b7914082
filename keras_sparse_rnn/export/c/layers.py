"""What each Keras layer does with a frame, as steps of a model's file."""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import layers as block_sparse
from keras_sparse_rnn import ops
from keras_sparse_rnn.export import cell_file, cell_weights
from keras_sparse_rnn.export.c import elementwise, file
from keras_sparse_rnn.export.c.writer import Refused, native_name
from keras_sparse_rnn.export.cells import array
from keras_sparse_rnn.layers import storage
from keras_sparse_rnn.substitution.block_shapes import best_block_shape

K = keras.layers
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
}


def write(writer, layer, sources):
    """Writes `layer`, which reads the registers `sources`; returns the register of its output.

    Raises:
        Refused: it cannot be exported.
    """
    if type(layer) in elementwise.NOTHING:
        return sources[0]
    if getattr(layer, "quantization_mode", None):
        raise Refused(
            f"Keras has quantized it ({layer.quantization_mode}); export the float model with "
            "`weights=`"
        )
    if type(layer) in elementwise.MERGING:
        return elementwise.MERGING[type(layer)](writer, layer, sources)
    of_this_kind = WRITERS.get(type(layer))
    if of_this_kind is None:
        kinds = (*WRITERS, *elementwise.MERGING, *elementwise.NOTHING, K.TimeDistributed)
        known = ", ".join(sorted({kind.__name__ for kind in kinds}))
        raise Refused(
            ADVICE.get(type(layer), f"it is not among the layers that are known here: {known}")
        )
    if len(sources) != 1:
        raise Refused(
            "it reads several inputs; a stream begins at zero states, so leave the others out"
        )
    return of_this_kind(writer, layer, sources[0])


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
    _check_sequences(layer)
    return _recurrent(writer, layer, source)


def of_cells(writer, layer, source):
    """An `RNN` around a cell, or a stack of them."""
    _check_sequences(layer)
    cells = layer.cell.cells if type(layer.cell) is K.StackedRNNCells else [layer.cell]
    for cell in cells:
        if type(cell) is block_sparse.BlockSparseCell:
            source = _recurrent(writer, cell.layer, source)
        elif type(cell) in cell_weights.CELLS:
            source = _recurrent(writer, cell, source)
        else:
            known = ", ".join(kind.__name__ for kind in cell_weights.CELLS)
            raise Refused(
                f"it has the cell {cell.name!r} of type {type(cell).__name__}; use one of {known}, "
                "BlockSparseCell"
            )
    return source


def _check_sequences(layer):
    for problem, what in (
        (layer.go_backwards, f"it has go_backwards=True: {AHEAD}; use go_backwards=False"),
        (layer.return_state, "it has return_state=True; use return_state=False, a stream keeps it"),
    ):
        if problem:
            raise Refused(what)


def _recurrent(writer, layer, source):
    """Writes a recurrent layer, or a cell of Keras."""
    cell = getattr(layer, "cell", layer)
    simple = isinstance(cell, K.SimpleRNNCell)
    name = _one_of(cell.activation, ("tanh", "relu") if simple else ("tanh",))
    if not simple:
        _one_of(cell.recurrent_activation, ("sigmoid",))
    return _cell(writer, layer, cell_weights.recurrent(layer, name), source)


def _one_of(function, choices):
    """The name of an activation that a cell computes."""
    name = native_name(function)
    if name not in choices:
        raise elementwise.unknown(function, choices)
    return name


def _activated(writer, layer, cell, source):
    """Writes a Dense `cell` and the activation of its layer, which it may have itself."""
    function = layer.activation
    if (name := native_name(function)) is not None:
        return _cell(writer, layer, dataclasses.replace(cell, activation=name), source)
    source = _cell(writer, layer, cell, source)
    return elementwise.activate(writer, function, source)


def dense(writer, layer, source):
    return _activated(writer, layer, cell_weights.dense(layer, "linear"), source)


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
    return _activated(writer, layer, cell_weights.CellWeights("dense", kernels, bias), source)


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
    K.RNN: of_cells,
    **elementwise.WRITERS,
}
