"""Where the units of a model's recurrent layers are read: a walk along its graph that numbers the
channels of every tensor.
"""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.selection import Kernel
from keras_sparse_rnn.selectors import CELLS
from keras_sparse_rnn.units.kinds import ALIKE, calls_as, is_alike

FIXED = -1  # a channel that is no unit of a layer that is reordered

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
        known = self.channels.get(id(tensor))
        if known is not None and len(known) == tensor.shape[-1]:
            return known
        return np.full(tensor.shape[-1] or 1, FIXED) if tensor.shape else np.full(1, FIXED)

    def _through(self, layer, inputs, node):
        """The numbers of the channels of the outputs of `layer`, of which the last stands for all
        that follow.
        """
        if isinstance(layer, keras.layers.Bidirectional):
            return self._bidirectional(layer, inputs)
        if isinstance(layer, keras.layers.RNN):
            return self._recurrent(layer, inputs)
        if all((one == FIXED).all() for one in inputs):
            return [np.full(1, FIXED)]
        if isinstance(layer, keras.layers.TimeDistributed):
            return self._through(layer.layer, inputs, node)
        if isinstance(layer, keras.layers.Dense) and isinstance(
            getattr(layer, "kernel", None), keras.Variable
        ):
            self._read(layer.kernel, inputs[0])
            return [np.full(1, FIXED)]
        rank = len(node.arguments.keras_tensors[0].shape)
        if isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, rank - 1):
            return [np.concatenate(inputs)]
        if isinstance(layer, NORMALIZATIONS) and np.all(np.isin(layer.axis, (-1, rank - 1))):
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
        ):
            return inputs[:1]
        self._refuse(
            inputs,
            f"are read by {layer.name!r} ({type(layer).__name__}), through which they cannot be "
            "followed",
        )

    def _recurrent(self, layer, inputs):
        self._refuse(inputs[1:], f"are the initial state of {layer.name!r}")
        cell = layer.cell
        record = self.reordered.get(id(cell))
        if calls_as(cell, CELLS) and isinstance(getattr(cell, "kernel", None), keras.Variable):
            self._read(cell.kernel, inputs[0])
        else:
            self._refuse(
                inputs,
                f"are read by {layer.name!r} ({type(cell).__name__}), through which they cannot "
                "be followed",
            )
        if record is None:
            return [
                np.full(cell.output_size, FIXED) if isinstance(cell, CELLS) else np.full(1, FIXED)
            ]
        if len(inputs) > 1:
            self._refuse([record.numbers], "begin with a state that another layer computes")
        for name in ("activation", "recurrent_activation"):
            if hasattr(cell, name):
                self._check_activation(cell, name, [record.numbers], "come from")
        if not calls_as(cell, CELLS):
            self._refuse(
                [record.numbers],
                f"come from {cell.name!r} ({type(cell).__name__}), whose `call` is its own and may "
                "not treat all units alike",
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

    def _read(self, variable, numbers):
        if len(numbers) != variable.shape[0]:
            numbers = np.full(variable.shape[0], FIXED)
        _, known = self.found.setdefault(id(variable), (variable, numbers))
        if not np.array_equal(known, numbers):
            self._refuse(
                [known, numbers],
                f"are read by {variable.path}, which reads something else in another place",
            )

    def _refuse(self, numbers, why):
        """Raises the error for the layer of any unit in `numbers`, a list of arrays."""
        for record in self.reordered.values():
            if any(np.isin(record.numbers, one).any() for one in numbers):
                raise ValueError(
                    "`layers` must be layers whose readers can be followed: the units of "
                    f"{record.recurrent.path} {why}. Leave this layer out with `layers`."
                )
