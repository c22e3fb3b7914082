"""The recurrent cells of a model, with a name for each."""

import dataclasses

import keras

from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers import BlockSparseCell
from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.selection import to_numpy, walk
from keras_sparse_rnn.selectors import as_selectors, is_owner, path, selects


@dataclasses.dataclass(frozen=True, eq=False)
class RecurrentCell:
    """A cell of a model whose states can be recorded.

    Attributes:
        name: of its layer with those around it, and of the cell where a layer has several; unique
            in the model.
        layer: the `keras.layers.RNN` around it.
        cell: the layer that owns the kernels, or the `BlockSparseCell` around it.
        number: which one of a stack of cells it is; 0 for a cell of its own.
        repeated: whether it is in a `TimeDistributed`.
    """

    name: str
    layer: keras.layers.RNN
    cell: keras.Layer
    number: int
    repeated: bool

    @property
    def owner(self):
        """The layer that owns the kernels."""
        return self.cell.layer.cell if isinstance(self.cell, BlockSparseCell) else self.cell

    def kernels(self):
        """`(kernel [inputs, gates * units], recurrent_kernel [units, gates * units])`, arrays, dead
        blocks zero.
        """
        layer = self.cell.layer if isinstance(self.cell, BlockSparseCell) else self.layer
        if isinstance(layer, BlockSparseRNN):
            return layer.dense_kernels()
        return to_numpy(self.cell.kernel), to_numpy(self.cell.recurrent_kernel)


def find_cells(model, layers=None):
    """The `RecurrentCell`s of the selected layers, in the order of the model; also those of packed
    block-sparse layers.

    Raises:
        ValueError: `model` is no Keras model or not built, has no recurrent layer, or a selector
            matches none.
    """
    check_keras_model(model)
    selectors = None if layers is None else as_selectors(layers)
    found, names, matched = [], {}, set()
    for chain in walk(model):
        around = [layer for layer in chain[:-1] if isinstance(layer, keras.layers.RNN)]
        steps = [isinstance(one, BlockSparseCell) for one in chain]
        owns = steps[-1] or (is_owner(chain[-1]) and not isinstance(chain[-1], keras.layers.Dense))
        if not around or not owns or any(steps[:-1]):  # what such a cell holds sees no sequences
            continue
        names.setdefault(around[-1].name)
        hits = [
            number for number, selector in enumerate(selectors or ()) if selects(selector, chain)
        ]
        matched.update(hits)
        if selectors is None or hits:
            found.append((chain, around[-1]))
    _complain(model, selectors, names, matched)
    return _records(found)


def _records(found):
    records, taken = [], {}
    for chain, layer in found:
        stack = getattr(layer.cell, "cells", None)
        name = path(chain) if stack else path(chain[: chain.index(layer) + 1])
        taken[name] = taken.get(name, 0) + 1
        name = name if taken[name] == 1 else f"{name}#{taken[name]}"
        if not chain[-1].built:
            raise ValueError(
                f"The model must be built before its states are looked at: {name} has no weights "
                "yet. Call the model on a batch first."
            )
        repeated = any(isinstance(one, keras.layers.TimeDistributed) for one in chain)
        records.append(
            RecurrentCell(name, layer, chain[-1], stack.index(chain[-1]) if stack else 0, repeated)
        )
    return records


def _complain(model, selectors, names, matched):
    for number, selector in enumerate(selectors or ()):
        if number not in matched:
            raise ValueError(
                f"`layers` must match recurrent layers of the model; {selector!r} matches none. "
                f"It has: {', '.join(names) or 'none'}"
            )
    if not names:
        raise ValueError(
            "The model must have a recurrent layer (LSTM, GRU, SimpleRNN, RNN or a block-sparse "
            f"one), whose states are looked at. Received: {model.name!r} with {len(model.layers)} "
            f"layers, {'built' if model.built else 'not built'}"
        )
