"""Puts the units of a model's recurrent layers into another order."""

import warnings

import keras
import numpy as np

from keras_sparse_rnn import criteria
from keras_sparse_rnn.reordering.order import by_importance
from keras_sparse_rnn.reordering.readers import FIXED, Readers, Reordered
from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.slots import axes_of, optimizers_of, slots_of


def reorder_units(model, layers=None, *, criterion="l2"):
    """Orders the units of recurrent layers by importance, in place; the model computes what it did,
    to rounding.

        model.fit(x, y, epochs=5)                       # dense
        ksr.reorder_units(model, criterion="fisher")
        model.fit(x, y, epochs=20, callbacks=[pruning])

    Of a layer that is reordered the columns of the kernel, the rows and columns of the recurrent
    kernel and the bias are permuted, gate by gate, and the rows of what reads it: `Dense` and
    recurrent layers, behind dropout, activations, normalization, `Concatenate`, `Bidirectional`,
    `TimeDistributed` and what else treats channels alike. So are the slots of the optimizer, and of
    those that a model of your own has as attributes: training goes on as if nothing had been. Slots
    of an optimizer of your own that have not the shape of their weights stay as they are, with a
    `UserWarning`.

    To be done before pruning: the zero blocks of a pruned model would be torn apart. A regularizer
    that gives units a place, `Moduli`, would not know its units again.

    Args:
        model: a built Sequential or functional model.
        layers: which layers: `None` for all recurrent ones, or a selector or a list of selectors
            (see `selection`).
        criterion: what a weight is worth: `"l2"` or another name, or a `Criterion` (see
            `criteria`), which is asked for blocks of one weight.

    Returns:
        `{path: order}`: for each layer the old number of each of its units, int64 `[units]`, in the
        new order.

    Raises:
        ValueError: units are read where they cannot be followed (the message names the layer and
            the reader), by a subclass with a `call` of its own, say; the model has no graph; a
            layer is not an `LSTM`, `GRU` or `SimpleRNN` with dense kernels, or it trains at few
            bits (`low_precision`). Nothing is changed then.
    """
    criterion = criteria.get(criterion)
    reordered = _reordered(find_kernels(model, layers), layers)
    readers = Readers(model, reordered)
    moves = []
    orders = _orders(reordered, criterion, model)
    for record in reordered:
        order, cell = orders[record.recurrent.path], record.recurrent.cell
        columns = np.concatenate(
            [gate * record.units + order for gate in range(record.recurrent.gates)]
        )
        moves += [
            (cell.kernel, -1, columns),
            (cell.recurrent_kernel, -1, columns),
            (cell.recurrent_kernel, 0, order),
        ]
        if isinstance(getattr(cell, "bias", None), keras.Variable):
            moves.append((cell.bias, -1, columns))
        states = getattr(record.recurrent.layer, "states", None) or ()
        moves += [(state, -1, order) for state in states if isinstance(state, keras.Variable)]
    for variable, numbers in readers.found.values():
        moves.append((variable, 0, _rows(numbers, reordered, orders)))
    moves = _with_slots(moves, model)
    for variable, axis, index in moves:
        variable.assign(np.take(variable.numpy(), index, axis=axis))
    return orders


def _reordered(kernels, layers):
    """An `Reordered` for each recurrent layer."""
    of_cells = {}
    for kernel in kernels:
        of_cells.setdefault(id(kernel.cell), {})[kernel.role] = kernel
    reordered, first = [], 0
    for found in of_cells.values():
        if len(found) < 2:
            (kernel,) = found.values()
            raise ValueError(
                "`layers` must be recurrent layers with a `kernel` and a `recurrent_kernel`, whose "
                f"units can be put into another order. {kernel.path!r} "
                f"({type(kernel.cell).__name__}) has a `{kernel.role}` only: leave it out. "
                f"Received: layers={layers!r}"
            )
        reordered.append(Reordered(found["kernel"], found["recurrent_kernel"], first))
        first += reordered[-1].units
    return reordered


def _orders(reordered, criterion, model):
    pairs = [(record.recurrent, record.recurrent.grid((1, 1))) for record in reordered]
    criterion.begin(model)
    try:
        criterion.prepare(pairs, model)
        return {
            kernel.path: by_importance(criteria.scores_of(criterion, kernel, grid, model))
            for kernel, grid in pairs
        }
    finally:
        criterion.end(model)


def _rows(numbers, reordered, orders):
    """Which old row comes to each place of a reader that reads the units `numbers`."""
    rows = np.arange(len(numbers))
    for record in reordered:
        places = np.flatnonzero(
            (numbers >= record.first) & (numbers < record.first + record.units) & (numbers != FIXED)
        )
        own = numbers[places] - record.first
        # Concatenated twice, the units of a layer come twice: each place takes the row from its own
        # run of them.
        rows[places] = places - own + orders[record.recurrent.path][own]
    return rows


def _with_slots(moves, model):
    """`moves` and those of what the optimizers of `model` keep of the weights. Warns of what is
    left as it is.
    """
    optimizers, left, found = [one for _, one in optimizers_of(model)], {}, []
    for variable, axis, index in moves:
        found.append((variable, axis, index))
        met = set()  # one optimizer may be held twice, by the model and by another optimizer
        for owner, name, slot in slots_of(optimizers, variable):
            axes = axes_of(owner, name, slot, variable)
            if axes is None:
                left.setdefault((type(owner).__name__, name), (variable, slot))
            elif axis % len(variable.shape) in axes and id(slot) not in met:
                met.add(id(slot))
                found.append((slot, axes.index(axis % len(variable.shape)), index))
    for (owner, name), (variable, slot) in left.items():
        warnings.warn(
            f"`reorder_units` leaves {name!r} of the optimizer {owner} in the old order: its slots "
            "must have the shape of their weights, for it is not known which of their numbers "
            f"belong to which units. Received: shape {tuple(slot.shape)} for {variable.path!r} of "
            f"shape {tuple(variable.shape)}. Training goes on, but not as if nothing had been; "
            "compile the model anew to let the optimizer begin anew",
            UserWarning,
            stacklevel=3,
        )
    return found
