"""A walk along the graph of a model that says which unit reads which.

Each channel of each tensor has a label, and each layer that has units gives new ones. `Walk` notes
who reads whom with which weights, what can be seen from outside, and what must stay together."""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.kinds import has_twin, is_cell
from keras_sparse_rnn.units import constants, kernels
from keras_sparse_rnn.units.channels import VARIES, Channels, Forest, concatenated
from keras_sparse_rnn.units.kinds import (
    MERGES,
    ONE_BY_ONE,
    calls_as,
    given_to_rnn,
    is_one_by_one,
    keeps_last_axis,
)
from keras_sparse_rnn.units.refusals import check_layer, check_model, refuse

NOTHING = Channels(np.zeros(0, int), np.zeros(0))


@dataclasses.dataclass(frozen=True, eq=False)
class Read:
    """Weights by which units of a layer read channels.

    Args:
        layer: the layer.
        rows: the `Channels` that are read.
        units: the labels of the units that read them.
        weights: float64 `[taps, rows, gates * units]`; of all layers but convolutions one tap.
        folds: whether the layer has a bias into which a constant channel can go, at every step.
    """

    layer: keras.Layer
    rows: Channels
    units: np.ndarray
    weights: np.ndarray
    folds: bool

    @property
    def gates(self):
        return self.weights.shape[-1] // len(self.units)

    def links(self):
        """Which unit needs which channel, bool `[rows, units]`."""
        taps = self.weights.reshape(-1, len(self.rows), self.gates, len(self.units))
        links = (taps != 0).any(axis=(0, 2))
        constant = self.rows.values == 0 if not self.folds else ~self.rows.varies
        return links & ~constant[:, None]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A layer that becomes smaller with its units, or with what it reads.

    Args:
        layer: the layer.
        inputs: the `Channels` that it reads; of an `Embedding` none.
        units: the labels of its units.
    """

    layer: keras.Layer
    inputs: Channels
    units: np.ndarray


class Walk:
    """Follows the channels through `model`.

    Args:
        model: a built Sequential or functional model.

    Attributes:
        forest: the `Forest` of all labels.
        reads: list of `Read`.
        parts: list of `Part`.
        visible: the labels of what must stay: it is seen from outside, or by a layer that looks at
            all of it.
        pairs: list of pairs of arrays of labels of which as many must stay.

    Raises:
        ValueError: a layer cannot be seen through; it is named.
    """

    def __init__(self, model):
        check_model(model)
        self.model = model
        self.forest, self.reads, self.parts = Forest(), [], []
        self.visible, self.pairs = [], []
        self._channels, self._met = {}, set()
        inside = private_keras.inner_layers(model)
        self._masked = any(
            isinstance(one, keras.layers.Masking) or getattr(one, "mask_zero", False)
            for one in inside
        )
        self._through_model(model)
        for tensor in private_keras.graph_of(model).outputs:
            self._see(self._of(tensor))

    def _through_model(self, model):
        for node in private_keras.nodes(model):
            tensors = node.arguments.keras_tensors
            inputs = [self._of(tensor) for tensor in tensors]
            results = self._through(node.operation, inputs, node, len(tensors[0].shape))
            for number, tensor in enumerate(node.output_tensors):
                found = results[min(number, len(results) - 1)]
                if found is not None:
                    self._channels[id(tensor)] = found

    def _of(self, tensor):
        """The `Channels` of a tensor; of one that is not known, new ones that stay."""
        size = tensor.shape[-1] if tensor.shape else None
        known = self._channels.get(id(tensor))
        if known is None:
            known = Channels(self.forest.grow(size or 1), np.full(size or 1, VARIES))
            self._channels[id(tensor)] = known
            self._see(known)
        return known

    def _see(self, channels):
        self.visible.extend(channels.labels)

    def _opaque(self, inputs):
        """Of what a layer looks at as a whole, all stays; its outputs are not known."""
        for one in inputs:
            self._see(one)
        return [None]

    def _through(self, layer, inputs, node, rank):
        """The `Channels` of the outputs of `layer`, of which the last stands for all that follow;
        None where they are not known.
        """
        check_layer(layer, self.model)
        if not isinstance(layer, keras.Layer):
            key = (node.arguments.args or (None,))[-1]
            return inputs if keeps_last_axis(layer, key, rank) else self._opaque(inputs)
        if is_rebuildable(layer):
            self._once(layer)
            self._opaque(inputs)
            self._through_model(layer)
            return [self._of(one) for one in private_keras.graph_of(layer).outputs]
        if isinstance(layer, keras.layers.TimeDistributed):
            return self._through(layer.layer, inputs, node, rank - 1)
        if isinstance(layer, keras.layers.Bidirectional):
            return self._bidirectional(layer, *self._sequence(layer, node))
        if isinstance(layer, keras.layers.RNN):
            return self._recurrent(layer, *self._sequence(layer, node))
        self._opaque(
            inputs[1:] if not isinstance(layer, (*MERGES, keras.layers.Concatenate)) else []
        )
        tensors, masked = node.arguments.keras_tensors, self._masked
        # Without the axes that `TimeDistributed` takes away.
        shapes = [(1, *one.shape[len(tensors[0].shape) - rank + 1 :]) for one in tensors]
        if type(layer) is keras.layers.Embedding:
            return self._embedding(layer, inputs)
        if (has_twin(layer) and not is_cell(layer)) or type(layer) is keras.layers.Conv1D:
            return self._dense(layer, inputs[0])
        if isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, rank - 1):
            self._once(layer)
            self.parts.append(Part(layer, inputs[0], inputs[0].labels))
            return [inputs[0].with_values(constants.of_any(layer, inputs[:1], shapes, masked))]
        if isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, rank - 1):
            return [concatenated(inputs)]
        if isinstance(layer, MERGES) and len({tensor.shape[-1:] for tensor in tensors}) == 1:
            for other in inputs[1:]:
                self.forest.tie(inputs[0].labels, other.labels)
            return [inputs[0].with_values(constants.of_any(layer, inputs, shapes, masked))]
        if isinstance(layer, keras.layers.Flatten):
            return self._flat(layer, inputs[0], shapes[0])
        if self._treats_one_by_one(layer):
            return [inputs[0].with_values(constants.of_any(layer, inputs[:1], shapes, masked))]
        return self._opaque(inputs)

    def _treats_one_by_one(self, layer):
        return (
            calls_as(layer, ONE_BY_ONE)
            and getattr(layer, "data_format", "channels_last") == "channels_last"
            and is_one_by_one(getattr(layer, "activation", None))
        )

    def _once(self, layer):
        if id(layer) in self._met:
            refuse(layer, "is called more than once", self.model)
        self._met.add(id(layer))

    def _flat(self, layer, channels, shape):
        if None in shape or layer.data_format != "channels_last":
            return self._opaque([channels])
        times = int(np.prod(shape[1:-1]))
        return [Channels(np.tile(channels.labels, times), np.tile(channels.values, times))]

    def _units(self, layer, inputs, count):
        self._once(layer)
        labels = self.forest.grow(count)
        self.parts.append(Part(layer, inputs, labels))
        return labels

    def _embedding(self, layer, inputs):
        if not kernels.is_cut(layer):
            return self._opaque(inputs)
        (weights,) = kernels.weights(layer)
        labels = self._units(layer, NOTHING, weights.shape[-1])
        return [Channels(labels, constants.of_columns(weights))]

    def _dense(self, layer, inputs):
        if not kernels.is_cut(layer):
            return self._opaque([inputs])
        (weights,), bias = kernels.weights(layer), kernels.biases(layer)[0]
        labels = self._units(layer, inputs, weights.shape[-1])
        padded = getattr(layer, "padding", "valid") != "valid"  # it reads zeros beyond the ends
        self.reads.append(Read(layer, inputs, labels, weights, layer.use_bias and not padded))
        if not is_one_by_one(layer.activation):
            self.visible.extend(labels)
            return [Channels(labels, np.full(len(labels), VARIES))]
        if padded:
            inputs = inputs.with_values(np.where(inputs.values == 0, 0.0, VARIES))
        return [Channels(labels, constants.of_outputs(layer, inputs, weights, bias))]

    def _sequence(self, layer, node):
        """The `Channels` of the inputs of a recurrent layer, and a list of those of its initial
        states.
        """
        wanted, rest = given_to_rnn(layer, node)
        self._masked |= bool(rest)
        self._opaque([self._of(one) for one in rest])
        if not all(isinstance(one, keras.KerasTensor) for one in wanted):
            refuse(layer, "is given an initial state that is no tensor of the model", self.model)
        inputs, *states = [self._of(one) for one in wanted]
        return inputs, states

    def _recurrent(self, layer, inputs, states):
        check_layer(layer, self.model)
        if not has_twin(layer):
            return self._opaque([inputs, *states])
        (weights, recurrent), biases = kernels.weights(layer), kernels.biases(layer)
        cell, count, gates = layer.cell, recurrent.shape[1], kernels.gates(layer)
        labels = self._units(layer, inputs, count)
        for state in states:
            self.forest.tie(labels, state.labels)
        own = Channels(labels, np.full(count, VARIES))
        if is_one_by_one(cell.activation) and is_one_by_one(
            getattr(cell, "recurrent_activation", None)
        ):
            begin = [state.values for state in states] or kernels.initial_states(layer)
            own = own.with_values(
                constants.of_states(
                    cell, gates, inputs, weights, recurrent, biases, begin, self._masked
                )
            )
        else:
            self.visible.extend(labels)
        self.reads.append(Read(layer, inputs, labels, weights, cell.use_bias))
        # The first step reads the initial state, whatever the unit is afterwards.
        self.reads.append(Read(layer, own, labels, recurrent, False))
        return [own]

    def _bidirectional(self, layer, inputs, states):
        half = len(states) // 2
        both = [layer.forward_layer, layer.backward_layer]
        ways = [
            self._recurrent(one, inputs, own)[0]
            for one, own in zip(both, (states[:half], states[half:]))
        ]
        if None in ways:
            return self._opaque([one for one in ways if one is not None])
        self.pairs.append(tuple(one.labels for one in ways))
        forward, backward = ways
        per_way = len(keras.tree.flatten(both[0].state_size)) if layer.return_state else 0
        after = [forward] * per_way + [backward] * per_way
        if layer.merge_mode == "concat":
            return [concatenated(ways), *after]
        if layer.merge_mode is None:
            return [forward, backward, *after]
        self.forest.tie(forward.labels, backward.labels)
        merged = np.where(forward.values == 0, 0.0, VARIES)
        merged = np.where(backward.values == 0, merged, VARIES)
        return [forward.with_values(merged), *after]
