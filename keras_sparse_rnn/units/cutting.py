"""Layers with fewer units, or fewer inputs, and what of the old weights goes where."""

import dataclasses

import keras
import numpy as np

from keras_sparse_rnn.patterns import BlockGrid, fitted_block_shape
from keras_sparse_rnn.substitution import twins
from keras_sparse_rnn.substitution.copying import copy_from_config
from keras_sparse_rnn.substitution.kinds import (
    has_twin,
    is_block_sparse,
    owner_of,
    parent_arguments,
)
from keras_sparse_rnn.substitution.twins import Transfer
from keras_sparse_rnn.units import kernels

SIZES = {keras.layers.Conv1D: "filters", keras.layers.Embedding: "output_dim"}


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """What is left of a layer.

    Args:
        layer: the layer.
        inputs: int, the numbers of the channels that it still reads; of an `Embedding` none.
        units: int, the numbers of the units that stay.
        shift: float64 `[gates * units]` of the old units, what goes into the bias; None: nothing.
    """

    layer: keras.Layer
    inputs: np.ndarray
    units: np.ndarray
    shift: np.ndarray | None = None

    @property
    def columns(self):
        """The columns of the kernels that stay, gate by gate."""
        count, gates = kernels.units(self.layer), kernels.gates(self.layer)
        return np.concatenate([gate * count + self.units for gate in range(gates)])

    def smaller(self):
        """The new layer, not built yet."""
        layer, count = self.layer, len(self.units)
        if type(layer) is keras.layers.RNN:
            cell = copy_from_config(layer.cell, units=count)
            arguments = {**layer.get_config(), "cell": cell}
            return keras.layers.RNN(**arguments)
        if has_twin(layer):
            arguments = {**parent_arguments(layer), "units": count}
            return type(layer)(**arguments, **self._blocks())
        name = SIZES.get(type(layer))
        return copy_from_config(layer, **({} if name is None else {name: count}))

    def transfers(self, new):
        """The `Transfer`s to `new`, the new layer, built. Sets its block numbers."""
        layer = self.layer
        if isinstance(layer, keras.layers.Embedding):
            return [Transfer(layer.embeddings, new.embeddings, self._taking(None, self.units))]
        if isinstance(layer, keras.layers.BatchNormalization):
            taking = self._taking(self.units)
            return [Transfer(*pair, taking) for pair in zip(layer.variables, new.variables)]
        if not has_twin(layer):
            taking = self._taking(None, self.inputs, self.units)
            pairs = [Transfer(layer.kernel, new.kernel, taking)]
        else:
            pairs = [self._kernel(new, index) for index in range(len(self._sides()))]
        owner, new_owner = owner_of(layer), owner_of(new)
        if owner.use_bias:
            taking = self._taking(*[None] * (len(owner.bias.shape) - 1), self.columns)
            pairs.append(Transfer(owner.bias, new_owner.bias, taking))
        # Those that look at units keep all of them: see `units.walk`.
        pairs += twins.argument_transfers(layer, new)
        if isinstance(layer, keras.layers.RNN):
            pairs.append(Transfer(owner.seed_generator.state, new_owner.seed_generator.state))
            taking = self._taking(None, self.units)
            states = zip(layer.states or (), new.states or ())
            pairs += [Transfer(*both, taking) for both in states]
        return pairs

    def fold(self, new):
        """Adds what the constants that are gone were worth to the bias of `new`."""
        if self.shift is not None:
            bias = owner_of(new).bias
            bias.assign(self.shifted(bias.numpy(), self.shift))

    def shifted(self, bias, shift):
        """`bias`, an array for the units that stay, with `shift`, of the old units, added."""
        shift = shift[self.columns]
        rows = np.stack([shift, np.zeros_like(shift)]) if bias.ndim == 2 else shift
        return bias + rows.astype(bias.dtype)

    def _sides(self):
        """What stays of the rows of each kernel."""
        recurrent = isinstance(self.layer, keras.layers.RNN)
        return [self.inputs, self.units] if recurrent else [self.inputs]

    def _kernel(self, new, index):
        layer = self.layer
        taking, steps = self._taking(self._sides()[index], self.columns), []
        if twins.is_packed(layer):
            grid = layer.grids[index]
            blocks = twins.block_variables(layer)[index].numpy()
            steps.append(lambda array: grid.unpack(array, blocks))
        steps.append(taking)
        if twins.is_packed(layer):
            new_grid = new.grids[index]
            new_blocks = np.flatnonzero(new_grid.live(self._pattern(index))).astype(np.int32)
            twins.block_variables(new)[index].assign(new_blocks)
            steps.append(lambda array: new_grid.pack(array, new_blocks)[0])
        old_variable, new_variable = (twins.kernel_variables(one)[index] for one in (layer, new))
        return Transfer(old_variable, new_variable, twins.in_turn(steps))

    def _pattern(self, index):
        """An array of the shape of the new kernel in which what lives is not zero."""
        return self._taking(self._sides()[index], self.columns)(twins.patterns(self.layer)[index])

    def _blocks(self):
        """The arguments of a block-sparse layer beside those of its Keras parent."""
        layer, count = self.layer, len(self.units)
        if not is_block_sparse(layer):
            return {}
        shape, rows = layer.block_shape, [len(side) for side in self._sides()]
        if len(rows) == 1:
            shapes = [fitted_block_shape(shape, (rows[0], count))]
        else:
            shapes = [
                fitted_block_shape(shape, (shape[0], count)),
                fitted_block_shape(layer.recurrent_block_shape or shape, (count, count)),
            ]
        found = {"block_shape": shapes[0], "storage": layer.storage, "kernel": layer.kernel_choice}
        if shapes[1:] not in ([], shapes[:1]):
            found["recurrent_block_shape"] = shapes[1]
        if layer.storage == "packed":
            found["live_blocks"] = [
                int(BlockGrid(size, count, layer.gates, used).live(self._pattern(index)).sum())
                for index, (size, used) in enumerate(zip(rows, shapes))
            ]
        return found

    @staticmethod
    def _taking(*indices):
        """A function that takes these numbers along each axis, None for all."""

        def taken(array):
            for axis, index in enumerate(indices):
                array = array if index is None else np.take(array, index, axis=axis)
            return array

        return taken
