"""The hidden states of a model's recurrent layers, of all steps, while it runs over data.

Keras keeps the states of all steps only where a layer returns them. So while a `Recorder` runs the
model, every recurrent layer has an `inner_loop` (the part of it that goes over time) that asks for
all outputs, notes them, and hands on what was asked for. Nothing of the model is changed, rebuilt
or copied, so it may be of any make."""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.geometry.covariance import Covariance
from keras_sparse_rnn.geometry.data import input_batches
from keras_sparse_rnn.running import mask_of_steps, states_at_zero, swapped


class Recorder:
    """Runs a model over data, in inference, and adds up the covariances of what its recurrent cells
    see.

    It is traced once: asked again after some training, it sees the new weights.

    Args:
        model: a built `keras.Model`.
        cells: list of `RecurrentCell`.
    """

    def __init__(self, model, cells):
        self.model, self.cells = model, cells
        # A `partial`, because TensorFlow counts the tracings of a method over all recorders and
        # warns of many.
        traced = tf.function(functools.partial(self._run), autograph=False, reduce_retracing=True)
        # TimeDistributed calls its layer once for each step where it knows how many there are:
        # always, outside a graph.
        self._traced = (
            self._run if model.run_eagerly or any(cell.repeated for cell in cells) else traced
        )

    def measure(self, data, batch_size=32, batches=None):
        """Runs over `data` (see `data.input_batches`).

        States of a `stateful` layer begin at zero, go on from batch to batch, and are then what
        they were before.

        Returns:
            list of `(states, inputs)`, the two `Covariance`s of each cell: of the states after
                every step that is not masked, and of the inputs of these steps.

        Raises:
            ValueError: of `data`; states are NaN or infinite; the model does not run a layer.
        """
        sums = [None] * len(self.cells)
        with states_at_zero(self.model):
            for batch in input_batches(data, batch_size, batches):
                records = self._traced(keras.tree.map_structure(tf.convert_to_tensor, batch))
                for number, (cell, calls) in enumerate(zip(self.cells, records)):
                    for inputs, states, mask in calls:
                        sums[number] = sums[number] or (
                            Covariance(states.shape[-1]),
                            Covariance(inputs.shape[-1]),
                        )
                        _add(sums[number], states, inputs, mask, cell.name)
        idle = ", ".join(cell.name for cell, pair in zip(self.cells, sums) if pair is None)
        if idle:
            raise ValueError(
                "`layers` must be layers that the model runs as whole layers when it is called. "
                f"These were not: {idle}"
            )
        empty = ", ".join(
            cell.name for cell, (states, _) in zip(self.cells, sums) if not states.count
        )
        if empty:
            raise ValueError(
                f"`data` must have steps that are not masked. Every step is masked for: {empty}"
            )
        return sums

    def _run(self, batch):
        """For each cell a list, of `(inputs, states, mask)` for each time that its layer is
        called.
        """
        layers = list({id(cell.layer): cell.layer for cell in self.cells}.values())
        graph = tf.compat.v1.get_default_graph()
        records = {id(layer): [] for layer in layers}
        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(_observed(layer, records[id(layer)], graph))
            self.model(batch, training=False)
        return [
            [_of_cell(record, cell) for record in records[id(cell.layer)]] for cell in self.cells
        ]


def _of_cell(record, cell):
    inputs, states, mask = record
    return states[cell.number - 1] if cell.number else inputs, states[cell.number], mask


def _add(pair, states, inputs, mask, name):
    keep = slice(None) if mask is None else np.asarray(mask).reshape(-1)
    for covariance, values, what in zip(pair, (states, inputs), ("hidden states", "inputs")):
        values = np.asarray(values, np.float64).reshape(-1, values.shape[-1])[keep]
        if not np.isfinite(values).all():
            raise ValueError(
                f"The {what} of {name} must be finite: the weights have diverged, or `data` are "
                f"not. Received: {np.count_nonzero(~np.isfinite(values))} of {values.size} values "
                "are NaN or infinite"
            )
        covariance.add(values)


@contextlib.contextmanager
def _observed(layer, records, graph):
    """While it lasts, calls of `layer` leave `(inputs, states of each cell, mask)`, in the order in
    which the steps are taken, in `records`.
    """
    run = layer.inner_loop

    def inner_loop(sequences, initial_state, mask, training=False):
        if tf.compat.v1.get_default_graph() is not graph or _vectorized(sequences):
            raise ValueError(
                f"The states of {layer.name!r} cannot be recorded: the model calls it in a loop "
                "of TensorFlow's (tf.while_loop, tf.map_fn, tf.vectorized_map), whose "
                "rounds cannot be seen from outside."
            )
        with _all_states_returned(layer) as split:
            last, outputs, states = run(
                sequences=sequences, initial_state=initial_state, mask=mask, training=training
            )
        last, _ = split(last)
        outputs, all_states = split(outputs)
        kept = mask_of_steps(mask)
        if layer.go_backwards:
            sequences, kept = sequences[:, ::-1], None if kept is None else kept[:, ::-1]
        records.append((sequences, all_states, kept))
        return last, outputs, states

    swaps = [(layer, "inner_loop", inner_loop)]
    if hasattr(layer, "use_cudnn"):
        # Bidirectional would run its two layers in one call of cuDNN's that goes past both.
        swaps.append((layer, "use_cudnn", False))
    with swapped(swaps):
        yield


def _vectorized(tensor):
    """Whether a tensor is of one round of `tf.vectorized_map`, which traces the round in the graph
    around it, for a number that is a placeholder.
    """
    return not tf.executing_eagerly() and any(
        operation.type == "PlaceholderWithDefault" for operation in tensor.graph.get_operations()
    )


@contextlib.contextmanager
def _all_states_returned(layer):
    """While it lasts, `layer` returns all steps, and of a stack all states: yields what parts an
    output into `(output, [states of each cell])`.

    LSTM, GRU and SimpleRNN put out their hidden states. The cells of a plain `RNN` put out what
    they like: there the hidden state, the first of a cell's states, is put out beside it.
    """
    if isinstance(layer, (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)):
        with swapped([(layer, "return_sequences", True)]):
            yield lambda output: (output, [output])
        return
    call, stack = layer.cell.call, getattr(layer.cell, "cells", None)
    sizes = []

    def call_with_states(inputs, states, **options):
        output, new = call(inputs, states, **options)
        # A stack of one cell gives its states bare.
        parts = new if stack and len(stack) > 1 else [new]
        first = [keras.tree.flatten(part)[0] for part in parts]
        sizes[:] = [tensor.shape[-1] for tensor in (output, *first)]
        return tf.concat(
            [output, *(tf.cast(tensor, output.dtype) for tensor in first)], axis=-1
        ), new

    def split(output):
        output, *states = tf.split(output, sizes, axis=-1)
        return output, states

    with swapped([(layer, "return_sequences", True), (layer.cell, "call", call_with_states)]):
        yield split
