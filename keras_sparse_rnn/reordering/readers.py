"""Where the units of a model's recurrent layers are read: a walk along its graph that numbers the
channels of every tensor.
"""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.layers import BlockSparseDense
from keras_sparse_rnn.selection import Kernel
from keras_sparse_rnn.selectors import CELLS
from keras_sparse_rnn.substitution import few_bits
from keras_sparse_rnn.units.kinds import ALIKE, calls_as, given_to_rnn, is_alike

FIXED = -1  # a channel that is no unit of a layer that is reordered

RECURRENT = (keras.layers.RNN, keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
DENSE = (keras.layers.Dense, BlockSparseDense)
NORMALIZATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@dataclasses.dataclass(frozen=True, eq=False)
class Reordered:
    """The units of one recurrent layer.

    Args:
        kernel, recurrent: the `Kernel` records of its two kernels.
        first: the number of its first unit: the units of a model are numbered through.
    """

    kernel: Kernel
    recurrent: Kernel
    first: int

    @property
    def units(self):
        return self.recurrent.units

    @property
    def numbers(self):
        """The numbers of its units, in their order."""
        return self.first + np.arange(self.units)


class Readers:
    """Follows the units of `reordered` through the graph of `model`.

    Args:
        model: a Sequential or functional model.
        reordered: list of `Reordered`.

    Attributes:
        found: `{id(variable): (variable, numbers)}`: the variables whose first axis goes over
            channels, and which units those are, or `FIXED`.

    Raises:
        ValueError: the units of a record go where they cannot be followed; it names the layer.
    """

    def __init__(self, model, reordered):
        self.reordered = {id(record.recurrent.cell): record for record in reordered}
        self.found, self.channels, self.met = {}, {}, set()
        nodes = private_keras.nodes(model)
        if nodes is None:
            raise ValueError(
                "`model` must be Sequential or functional: what reads the units of a layer stands "
                f"in its graph. Received: a {type(model).__name__}"
            )
        for node in nodes:
            self._visit(node)
        for tensor in private_keras.graph_of(model).outputs:
            self._refuse([self._of(tensor)], "are outputs of the model")
        for record in reordered:
            if id(record.recurrent.cell) not in self.met:
                self._refuse(
                    [record.numbers],
                    "are inside another layer or model, where their readers cannot be followed",
                )

    def _visit(self, node):
        inputs = [self._of(tensor) for tensor in node.arguments.keras_tensors]
        results = self._through(node.operation, inputs, node)
        for number, tensor in enumerate(node.output_tensors):
            self.channels[id(tensor)] = results[number] if number < len(results) else results[-1]

    def _of(self, tensor):
        """The numbers of the units in the last axis of a tensor."""
        size = (tensor.shape[-1] if tensor.shape else None) or 1
        known = self.channels.get(id(tensor), np.full(size, FIXED))
        if len(known) == size:
            return known
        self._refuse([known], f"cannot be told among the {size} channels of {tensor.name!r}")
        return np.full(size, FIXED)

    def _through(self, layer, inputs, node):
        """The numbers of the channels of the outputs of `layer`, of which the last stands for all
        that follow.
        """
        if calls_as(layer, (keras.layers.Bidirectional,)):
            return self._bidirectional(layer, self._given(layer, node))
        if calls_as(layer, RECURRENT):
            return self._recurrent(layer, self._given(layer, node))
        if isinstance(layer, keras.layers.RNN):
            return self._recurrent(layer, inputs)
        if all((one == FIXED).all() for one in inputs):
            return [np.full(1, FIXED)]
        if calls_as(layer, (keras.layers.TimeDistributed,)):
            return self._through(layer.layer, inputs, node)
        if calls_as(layer, DENSE) and isinstance(getattr(layer, "kernel", None), keras.Variable):
            self._check_precision(layer, inputs, "are read by")
            self._read(layer.kernel, inputs[0])
            return [np.full(1, FIXED)]
        rank = len(node.arguments.keras_tensors[0].shape)
        if type(layer) is keras.layers.Concatenate and layer.axis in (-1, rank - 1):
            return [np.concatenate(inputs)]
        if calls_as(layer, NORMALIZATIONS) and np.all(np.isin(layer.axis, (-1, rank - 1))):
            for variable in layer.variables:
                if tuple(variable.shape) == inputs[0].shape:
                    self._read(variable, inputs[0])
            return inputs[:1]
        if isinstance(layer, keras.layers.Activation):
            self._check_activation(layer, "activation", inputs, "are read by")
        if (
            calls_as(layer, ALIKE)
            and len(inputs) == 1
            and getattr(layer, "axis", -1) in (-1, rank - 1)
            and getattr(layer, "data_format", "channels_last") == "channels_last"
        ):
            return inputs[:1]
        self._refuse_reader(layer, layer, inputs)

    def _given(self, layer, node):
        """The numbers of the units in the inputs and the initial states of a recurrent layer."""
        wanted, others = given_to_rnn(layer, node)
        self._refuse_reader(layer, layer, [self._of(one) for one in others])
        return [self._of(one) for one in wanted]

    def _recurrent(self, layer, inputs):
        self._refuse(inputs[1:], f"are the initial state of {layer.name!r}")
        cell = layer.cell
        record = self.reordered.get(id(cell))
        strange = next(
            (one for one, kinds in ((layer, RECURRENT), (cell, CELLS)) if not calls_as(one, kinds)),
            None,
        )
        if strange is None and isinstance(getattr(cell, "kernel", None), keras.Variable):
            self._read(cell.kernel, inputs[0])
        else:
            self._refuse_reader(layer, strange or cell, inputs)
        self._check_precision(layer, inputs, "are read by")
        if record is None:
            return [
                np.full(cell.output_size, FIXED) if isinstance(cell, CELLS) else np.full(1, FIXED)
            ]
        if len(inputs) > 1:
            self._refuse([record.numbers], f"begin with a state that {layer.name!r} is given")
        self._check_precision(layer, [record.numbers], "come from")
        for name in ("activation", "recurrent_activation"):
            if hasattr(cell, name):
                self._check_activation(cell, name, [record.numbers], "come from")
        if strange is not None:
            self._refuse(
                [record.numbers],
                f"come from {strange.name!r} ({type(strange).__name__}), whose `call` is its own "
                "and may not treat all units alike",
            )
        self.met.add(id(cell))
        return [record.numbers]

    def _bidirectional(self, layer, inputs):
        forward, backward = (
            self._recurrent(one, inputs)[0] for one in (layer.forward_layer, layer.backward_layer)
        )
        if layer.merge_mode == "concat":
            if layer.return_state:
                self._refuse([forward, backward], f"leave {layer.name!r} as states, too")
            return [np.concatenate([forward, backward])]
        self._refuse(
            [forward, backward],
            f"are merged by {layer.name!r} with merge_mode={layer.merge_mode!r}",
        )
        return [np.full(1, FIXED)]

    def _check_activation(self, layer, name, numbers, how):
        """Refuses an activation of `layer` that may mix the units `numbers`."""
        activation = getattr(layer, name)
        if not is_alike(activation):
            called = getattr(activation, "__name__", None) or type(activation).__name__
            self._refuse(
                numbers,
                f"{how} {layer.name!r} ({type(layer).__name__}) with the {name} {called!r}, which "
                "is not known to treat all units alike",
            )

    def _check_precision(self, layer, numbers, how):
        """Refuses the units `numbers` if `layer` trains at few bits."""
        precision = few_bits.precision_of(layer)
        if precision is not None:
            self._refuse(
                numbers,
                f"{how} {layer.name!r} ({type(layer).__name__}), which trains at few bits with "
                f"{precision!r} and may round its weights in another way in another order",
            )

    def _read(self, variable, numbers):
        if len(numbers) != variable.shape[0]:
            self._refuse(
                [numbers],
                f"are read by {variable.path}, of which the {variable.shape[0]} rows are not one "
                "for each channel",
            )
            numbers = np.full(variable.shape[0], FIXED)
        _, known = self.found.setdefault(id(variable), (variable, numbers))
        if not np.array_equal(known, numbers):
            self._refuse(
                [known, numbers],
                f"are read by {variable.path}, which reads something else in another place",
            )

    def _refuse_reader(self, layer, owner, numbers):
        """Refuses units `numbers` that `layer` reads in a way that its `owner` alone knows."""
        self._refuse(
            numbers,
            f"are read by {layer.name!r} ({type(owner).__name__}), through which they cannot be "
            "followed",
        )

    def _refuse(self, numbers, why):
        """Raises the error for the layer of any unit in `numbers`, a list of arrays."""
        for record in self.reordered.values():
            if any(np.isin(record.numbers, one).any() for one in numbers):
                raise ValueError(
                    "`layers` must be layers whose readers can be followed: the units of "
                    f"{record.recurrent.path} {why}. Leave this layer out with `layers`."
                )
