"""Puts the units of a model's recurrent layers into another order."""

import keras
import numpy as np

from keras_sparse_rnn import criteria
from keras_sparse_rnn.reordering.order import by_importance
from keras_sparse_rnn.reordering.readers import FIXED, Readers, Reordered
from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.slots import slots_of


def reorder_units(model, layers=None, *, criterion="l2"):
    """Orders the units of recurrent layers by importance, in place; the model computes what it did,
    to rounding.

        model.fit(x, y, epochs=5)                       # dense
        ksr.reorder_units(model, criterion="fisher")
        model.fit(x, y, epochs=20, callbacks=[pruning])

    Of a layer that is reordered the columns of the kernel, the rows and columns of the recurrent
    kernel and the bias are permuted, gate by gate, and the rows of what reads it: `Dense` and
    recurrent layers, behind dropout, activations, normalization, `Concatenate`, `Bidirectional`,
    `TimeDistributed` and what else treats channels alike. So are the slots of the optimizer:
    training goes on as if nothing had been.

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
            the reader), the model has no graph, or a layer is not an `LSTM`, `GRU` or `SimpleRNN`
            with dense kernels. Nothing is changed then.
    """
    criterion = criteria.get(criterion)
    reordered = _reordered(find_kernels(model, layers))
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
    for variable, axis, index in moves:
        for one in [variable, *_slots(model, variable)]:
            one.assign(np.take(one.numpy(), index, axis=axis))
    return orders


def _reordered(kernels):
    """An `Reordered` for each recurrent layer."""
    reordered, first = [], 0
    for recurrent in kernels:
        if recurrent.role == "recurrent_kernel":
            kernel = next(
                one for one in kernels if one.cell is recurrent.cell and one.role == "kernel"
            )
            reordered.append(Reordered(kernel, recurrent, first))
            first += recurrent.units
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


def _slots(model, variable):
    """What the optimizer keeps of the weights of `variable`, one number for each."""
    found = slots_of(getattr(model, "optimizer", None), variable)
    return [slot for _, _, slot in found if slot.shape == variable.shape]
