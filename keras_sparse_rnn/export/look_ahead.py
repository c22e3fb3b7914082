"""Which layer of a model reads steps that a chunk does not hold.

The model runs in Keras twice: on a whole sequence, and chunk by chunk as it is going to be
exported. The first layer whose outputs differ is the one that cannot be streamed: attention and
pooling over the steps, a convolution that looks ahead, a custom layer that does any of this.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import conversion, streaming
from keras_sparse_rnn.export.quiet import quiet
from keras_sparse_rnn.export.samples import said

PADDING = 'give it padding="causal", and train it so'
ROUNDING = 1e-3  # of the largest output; the comparison of the file is stricter, and names no layer


class Record:
    """The outputs of the layers of a model, `(layer, list of tensors)` in the order of the calls,
    and the layer that is running.
    """

    def __init__(self, model):
        self.calls, self.running = [], None
        self._swaps = [(each, "call", self._noting(each)) for each in _operations(model)]

    @contextlib.contextmanager
    def on(self):
        """While it lasts, the outputs are noted."""
        with running.swapped(self._swaps):
            yield

    def _noting(self, operation):
        call = operation.call

        def noted(*args, **kwargs):
            self.running = operation
            outputs = call(*args, **kwargs)
            found = [one for one in keras.tree.flatten(outputs) if isinstance(one, tf.Tensor)]
            self.calls.append((operation, found))
            return outputs

        return noted


def check(model, structure, whole, chunks, streamed):
    """Runs `model` on the flat list of arrays `whole`, and on the list of flat lists `chunks`,
    which are the same in pieces. `streamed` then knows its lengths, and what its last call left.

    Returns:
        How many numbers all layers together give on `whole`.

    Raises:
        ValueError: it does not run on the chunks, or gives other outputs on them; the message names
            the first layer that does.
    """
    with conversion.full_precision(model), running.states_at_zero(model), streamed.recording():
        entire = Record(model)
        with entire.on():
            _call(model, structure, whole)
    states, pieces = None, []
    with (
        quiet(replay=False),  # what a layer says about a chunk of one step is not about the model
        conversion.full_precision(model),
        running.states_at_zero(model),
        streamed.continuing(),
    ):
        for chunk in chunks:
            streamed.begin(states)
            record = Record(model)
            try:
                with record.on():
                    _call(model, structure, chunk)
            except Exception as error:  # whatever a layer says about what it cannot take
                layer = record.running or model
                what = f"does not run on a chunk, {_shapes(chunk)}: {said(error).rstrip('.')}"
                if _needs_padding(layer):
                    what += f": {PADDING}"
                raise ValueError(streaming.refusal(model, layer, what)) from error
            if streamed.refused:
                raise ValueError(streamed.refused)
            pieces.append([outputs for _, outputs in record.calls])
            states = streamed.new
    outputs = [each for _, each in entire.calls]
    compare(model, [operation for operation, _ in entire.calls], outputs, pieces)
    return sum(np.size(one) for each in outputs for one in each)


def compare(model, operations, entire, pieces):
    """Compares what a model gives on pieces of a sequence with what it gives on the whole.

    Args:
        model: a Keras model.
        operations: its layers and operations, in the order of the calls.
        entire: the outputs of each on the whole sequence, a list.
        pieces: for each piece a list as `entire`.

    Raises:
        ValueError: outputs differ; the message names the first layer whose do.
    """
    for number, (operation, outputs) in enumerate(zip(operations, entire)):
        calls = [piece[number] for piece in pieces]
        if any(
            not _same(output, [arrays[place] for arrays in calls])
            for place, output in enumerate(outputs)
        ):
            raise ValueError(streaming.refusal(model, operation, _advice(operation)))


def _shapes(arrays):
    return ", ".join(str(array.shape) for array in arrays)


def _call(model, structure, arrays):
    return conversion.call(model, structure, [keras.ops.convert_to_tensor(one) for one in arrays])


def _operations(model):
    """The layers and operations of a model, those of nested models in place of these."""
    graph = private_keras.graph_of(model)
    if isinstance(graph, private_keras.Functional):
        inside = graph.operations
    else:
        inside = private_keras.inner_layers(model, include_self=False, recursive=False)
    found = {}
    for each in inside:
        nested = isinstance(each, keras.Model)
        for one in _operations(each) if nested else [each]:
            found[id(one)] = one
    return list(found.values())


def _same(whole, pieces):
    """Whether `pieces`, the outputs of a layer on the chunks, are those on the whole sequence: one
    behind the other, or, where the layer has no axis of steps, the last of them.
    """
    whole, pieces = np.asarray(whole), [np.asarray(piece) for piece in pieces]
    together = pieces[-1]
    if whole.ndim > 1 and pieces[-1].ndim > 1 and pieces[-1].shape[1] != whole.shape[1]:
        together = np.concatenate(pieces, axis=1)
    if whole.shape != together.shape:
        return False
    whole, together = whole.astype(np.float64), together.astype(np.float64)
    scale = max(1.0, float(np.abs(whole).max(initial=0.0)))
    # What is not finite is left to the comparison of the file, which says so.
    with np.errstate(invalid="ignore"):
        return not np.abs(whole - together).max(initial=0.0) > ROUNDING * scale


def _needs_padding(operation):
    return isinstance(operation, keras.layers.Conv1D) and operation.padding != "causal"


def _advice(operation):
    """What to do about a layer."""
    what = "gives other outputs on chunks than on the whole sequence, for it reads steps that "
    what += "a chunk does not hold: "
    if _needs_padding(operation):
        return f"{what}{PADDING}"
    return f"{what}leave it out of the model that is exported, and do it with what the stream gives"
