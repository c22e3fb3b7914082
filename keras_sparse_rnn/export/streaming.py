"""Lets a model run on a stream, chunk by chunk: what its layers remember of the chunks before goes
in as states and comes out as new ones.

Recurrent layers begin each chunk with the states that the one before left, and a causal `Conv1D`
reads the last steps of the chunk before in place of zeros. All other layers have to compute each
step from that step alone; `look_ahead` and `look_back` tell which do not.
"""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import cells, conversion, own_operators, recurrence, signature

ANEW = (
    "is given its initial state by another layer, and so at each chunk anew: let it begin with "
    "zeros, as a stream does"
)

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.DepthwiseConv1D,
    keras.layers.SeparableConv1D,
)


@dataclasses.dataclass(frozen=True)
class State:
    """What one layer remembers: the name of the file's input and of its output, and the shape,
    `[batch, ...]`, float32.
    """

    name: str
    shape: tuple


class Streamed:
    """The layers of a model that remember, and what they remember.

    Args:
        model: a built Keras model.

    Attributes:
        lengths: how many steps each call of such a layer got when the model ran on a whole
            sequence, in the order of the calls; see `recording`.
        new: the states that the last call of the model left, in the order in which it uses them.
        states: a list of `State`, what they are called; see `name_states`.
        refused: why a call of the model could not go on from the states of the one before, a
            message; None if it could.

    Raises:
        ValueError: a layer reads its sequences from their end.
    """

    def __init__(self, model):
        self.model = model
        repeated = {
            id(inner)
            for layer in private_keras.inner_layers(model)
            if isinstance(layer, keras.layers.TimeDistributed)
            for inner in private_keras.inner_layers(layer, include_self=False)
        }  # whose sequences lie within one step
        layers = [layer for layer in private_keras.inner_layers(model) if id(layer) not in repeated]
        for layer in layers:
            _check_direction(model, layer)
        self.layers = [
            layer for layer in layers if isinstance(layer, keras.layers.RNN) or _remembers(layer)
        ]
        self.states, self.lengths, self.new = [], [], []
        self.refused, self._cells = None, {}
        self.begin()

    def begin(self, states=None):
        """What the next call of the model begins with: a list of tensors, zeros if not given."""
        self.new, self._given = [], None if states is None else list(states)
        self._calls, self._owners = 0, []

    @contextlib.contextmanager
    def recording(self):
        """While it lasts, the model runs as it is, and `lengths` is noted."""
        self.lengths = []

        def noting(call):
            def noted(sequences, *args, **kwargs):
                self.lengths.append(sequences.shape[1])
                return call(sequences, *args, **kwargs)

            return noted

        with running.swapped([(layer, "call", noting(layer.call)) for layer in self.layers]):
            yield

    @contextlib.contextmanager
    def continuing(self):
        """While it lasts, calls of the model begin with the states that `begin` was given, and
        leave new ones in `new`.
        """
        swaps = [(layer, "call", self._continued(layer, layer.call)) for layer in self.layers]
        with conversion.exportable(self.model), running.swapped(swaps):
            yield

    @staticmethod
    def method(layer):
        """The name of the method of one of `layers` that reads its sequence and remembers."""
        return "call" if _remembers(layer) else "inner_loop"

    def name_states(self, taken):
        """Names the states that a call of the model has just left by their layers; `taken` are
        names that they cannot have.
        """
        names = signature.unique([*taken, *(f"{name}_state" for name in self._owners)])
        self.states = [
            State(name, tuple(state.shape)) for name, state in zip(names[len(taken) :], self.new)
        ]

    def _continued(self, layer, call):
        """What runs for `layer.call`, which was `call`."""

        def continued(sequences, *args, **kwargs):
            length = self.lengths[self._calls]
            self._calls += 1
            if sequences.shape[1] == length:  # made anew in each chunk, not a part of the stream
                return call(sequences, *args, **kwargs)
            if _remembers(layer):
                return self._convolution(layer, sequences)
            if kwargs.get("initial_state", args[0] if args else None) is not None:
                self.refused = self.refused or refusal(self.model, layer, ANEW)
            with running.swapped([(layer, "inner_loop", self._loop(layer))]):
                return call(sequences, *args, **kwargs)

        return continued

    def _take(self, layer, shapes):
        """The states that a layer begins with."""
        self._owners += [layer.name] * len(shapes)
        if self._given is None:
            return [tf.zeros(shape) for shape in shapes]
        taken, self._given = self._given[: len(shapes)], self._given[len(shapes) :]
        return taken

    def _loop(self, layer):
        if layer not in self._cells:
            self._cells[layer] = cells.of(layer)
        cell = self._cells[layer]
        operators = own_operators.current()
        own = None if operators is None else operators.loop_of(layer)

        def inner_loop(sequences, initial_state, mask, training=False):
            states = self._take(layer, [one.shape for one in keras.tree.flatten(initial_state)])
            mask = running.mask_of_steps(mask)
            if own is not None:
                last, outputs, new = own(sequences, states, mask, previous=states[0])
            elif cell is not None:
                last, outputs, new = recurrence.run(
                    cell,
                    sequences,
                    states,
                    mask,
                    go_backwards=False,
                    return_sequences=layer.return_sequences,
                    zero_output_for_mask=layer.zero_output_for_mask,
                    previous=states[0],
                )
            else:
                begin = keras.tree.pack_sequence_as(initial_state, states)
                one = layer.unroll or sequences.shape[1] == 1
                with running.swapped([(layer, "unroll", one)]):
                    last, outputs, new = type(layer).inner_loop(
                        layer, sequences, begin, mask, training
                    )
            self.new += keras.tree.flatten(new)
            if cell is None and mask is not None and not layer.zero_output_for_mask:
                last, outputs = self._repeated(layer, last, outputs, mask)
            return last, outputs, new

        return inner_loop

    def _repeated(self, layer, last, outputs, mask):
        """The outputs of Keras's own loop, whose first steps, if masked, repeat the last output of
        the chunk before, a state too, in place of zeros.
        """
        (previous,) = self._take(layer, [last.shape])
        seen = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
        wide = tf.reshape(seen, [*seen.shape, *[1] * (len(last.shape) - 1)])
        last = tf.where(wide[:, -1], last, previous)
        self.new.append(last)
        if layer.return_sequences:
            return last, tf.where(wide, outputs, previous[:, None])
        return last, last[:, None]

    def _convolution(self, layer, sequences):
        """A causal `Conv1D` on the steps that it remembers and those of the chunk."""
        steps = _reach(layer)
        (past,) = self._take(layer, [(sequences.shape[0], steps, sequences.shape[2])])
        both = tf.concat([past, sequences], 1)
        self.new.append(both[:, -steps:])
        with running.swapped([(layer, "padding", "valid")]):
            return type(layer).call(layer, both)


def _reach(layer):
    """How many steps before its own a convolution reads."""
    return layer.dilation_rate[0] * (layer.kernel_size[0] - 1)


def _remembers(layer):
    """Whether it is a convolution that reads steps before its own, and none after it."""
    return (
        isinstance(layer, keras.layers.Conv1D)
        and layer.padding == "causal"
        and layer.data_format == "channels_last"
        and _reach(layer) > 0
    )


def reach(model):
    """How many steps beside its own the convolutions of a model read, one behind the other."""
    layers = private_keras.inner_layers(model)
    return sum(_reach(layer) for layer in layers if isinstance(layer, CONVOLUTIONS))


def _check_direction(model, layer):
    if isinstance(layer, keras.layers.Bidirectional):
        what = "reads each sequence from its end, too: train a layer of one direction in its place"
    elif isinstance(layer, keras.layers.RNN) and layer.go_backwards:
        what = "reads each sequence from its end: train it with go_backwards=False"
    else:
        return
    raise ValueError(refusal(model, layer, what))


def refusal(model, layer, what):
    """The message about a model that cannot be streamed for the sake of one of its layers."""
    return (
        "`model` must compute each step from this step and the ones before it, to be streamed. "
        f"Received: model={model.name!r}, whose layer {layer.name!r} ({type(layer).__name__}) "
        f"{what}"
    )
