"""Puts our operator into a file: what runtime="ksr" is.

While `chosen` lasts, `conversion` traces layers that `cell_weights` knows as calls of functions
that the converter writes as one custom operator each, `KsrCell`; native/litert/cell_operator.h says
what it reads. Its weights are the file of a cell, a constant among its inputs, so that nothing has
to be known of it but its name."""

import contextlib
import contextvars
import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import cell_file, cell_weights, flatbuffer, library

NAME, VERSION = "KsrCell", 1
ALIGNMENT = 64  # bytes, of the constants that it reads, so that they can be read where they lie

_current = contextvars.ContextVar("_current", default=None)


class OwnOperators:
    """The operators of one export.

    Args:
        model: the Keras model.
        weights: `"float32"`, `"bfloat16"` or `"int8"`.
        activations: `"float32"` or `"int8"`.
    """

    def __init__(self, model, weights, activations):
        self.weights, self.activations = weights, activations
        # Noted now, because layers have none while they compute in float32.
        self._ranges = {
            layer: getattr(layer, "input_range", 0.0) for layer in private_keras.inner_layers(model)
        }
        self._cells, self._loops = {}, {}

    @property
    def kernels(self):
        """The weight matrices that they hold, as float32 arrays."""
        return [kernel for cell, _ in self._cells.values() for kernel in cell.kernels]

    @property
    def saved_bytes(self):
        """How many bytes fewer they take than the same matrices dense, in float32."""
        return sum(cell.dense_bytes - len(file) for cell, file in self._cells.values())

    @property
    def integers(self):
        """The layers in whose place they round inputs and states to integers."""
        return list(self._cells) if self.activations == "int8" else []

    def loop_of(self, layer):
        """What stands in for `inner_loop` of a recurrent layer; None if our operator does not
        compute what the layer does.

        It also takes `previous` `[batch, units]`, the output that masked steps before the first
        one that counts repeat, as those of a chunk do in the middle of a sequence; else these are
        zeros, as in Keras.
        """
        if layer not in self._loops:  # weights cannot be read where a graph is being traced
            self._loops[layer] = self._new_loop_of(layer)
        return self._loops[layer]

    def _new_loop_of(self, layer):
        cell = cell_weights.of_recurrent(layer)
        if cell is None:
            return None
        operator = self._operator(layer, cell)

        def inner_loop(sequences, initial_state, mask, training=False, previous=None):
            mask = running.mask_of_steps(mask)
            if layer.go_backwards:
                sequences = tf.reverse(sequences, [1])
                mask = None if mask is None else tf.reverse(mask, [1])
            masks = [] if mask is None else [mask]
            states = keras.tree.flatten(initial_state)
            outputs, *states = operator(sequences, *states, *masks)
            if masks and layer.zero_output_for_mask:
                outputs = tf.where(mask[..., None], outputs, tf.zeros_like(outputs))
            elif masks and previous is not None:
                begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
                outputs = tf.where(begun[..., None], outputs, previous[:, None])
            last = outputs[:, -1]
            return last, outputs if layer.return_sequences else last[:, None], states

        return inner_loop

    def call_of(self, layer):
        """What stands in for `call` of a Dense layer; None if it is not pruned."""
        cell = cell_weights.of_dense(layer)
        if cell is None:
            return None
        operator = self._operator(layer, cell)
        activation = cell_weights.activation_after(layer, cell)

        def call(inputs, training=None):
            (outputs,) = operator(inputs)
            return outputs if activation is None else activation(outputs)

        return call

    def _operator(self, layer, cell):
        if layer not in self._cells:
            cell = dataclasses.replace(cell, input_range=self._ranges[layer])
            try:
                native = library.loaded()
                kernels = cell.smallest(native, self.weights, self.activations)
                self._cells[layer] = cell, cell.file(native, kernels, self.activations)
            except cell_file.CellError as error:
                raise ValueError(
                    "`model` must have layers that make cells. Received: the layer "
                    f"{layer.name!r}: {error}"
                ) from error
        content = np.frombuffer(self._cells[layer][1], np.uint8)
        units, states = cell.units, cell.states
        matrix = np.zeros((-(-len(content) // units), units), np.uint8)
        matrix.reshape(-1)[: len(content)] = content
        function = _custom(units, states)

        def operator(x, *others):
            return function(x, tf.constant(matrix), *others)

        return operator


def _custom(units, states):
    """A function that the converter writes as our operator. What it computes here is of the right
    shape, and nothing else.
    """

    @tf.autograph.experimental.do_not_convert
    def operator(x, cell, *others):
        shape = [*x.shape[:-1], units]
        sizes = tf.concat([tf.shape(x)[:-1], [units]], 0)
        outputs = tf.ensure_shape(tf.zeros(sizes), shape)
        return (outputs, *(tf.identity(state) for state in others[:states]))

    fused = f'name: "{NAME}" attr {{ key: "tfl_fusable_op" value {{ b: true }} }}'
    return tf.function(operator, experimental_implements=fused)


@contextlib.contextmanager
def chosen(operators):
    """While it lasts, `conversion` writes `operators`; None for none."""
    token = _current.set(operators)
    try:
        yield
    finally:
        _current.reset(token)


def current():
    """The `OwnOperators` that are chosen, or None."""
    return _current.get()


def others_in(model):
    """The names of custom operators of a `ModelT` that are not ours."""
    names = [name.split("CUSTOM:") for name in flatbuffer.operator_names(model)]
    return [name[1] for name in names if len(name) == 2 and name[1] != NAME]


def in_content(content):
    """Whether the bytes of a file of ours have our operator."""
    return f"CUSTOM:{NAME}" in flatbuffer.operator_names(flatbuffer.unpack(content))


def delegates_for(path):
    """What a runtime needs to run the file: our delegate where the file has our operator.

    Raises:
        ValueError: it has, and the library is missing.
    """
    with open(path, "rb") as file:
        content = file.read()
    return [library.delegate()] if in_content(content) else []


def align(model):
    """Lets what our operators read begin at multiples of 64 bytes in the file of a `ModelT`, as
    LiteRT's CompiledModel wants the memory of all tensors that it shows to them.
    """
    codes = [code.customCode in (NAME, NAME.encode()) for code in model.operatorCodes]
    for graph in model.subgraphs:
        for operator in graph.operators:
            for number in operator.inputs if codes[operator.opcodeIndex] else ():
                buffer = model.buffers[graph.tensors[number].buffer]
                if buffer.data is not None:
                    buffer.Pack = functools.partial(_packed_aligned, buffer)


def _packed_aligned(buffer, builder):
    """What `Pack` of a buffer of the schema does, with bytes that begin at a multiple of 64."""
    size = len(buffer.data)
    builder.StartVector(1, size, ALIGNMENT)
    head = builder.head = builder.head - size
    builder.Bytes[head : head + size] = bytes(buffer.data)
    vector = builder.EndVector()
    schema = flatbuffer.schema()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, vector)
    return schema.BufferEnd(builder)
