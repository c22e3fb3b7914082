"""What constants that are gone were worth to what reads them: it goes into biases, and into the
averages of biases that an optimizer keeps, of which a model may be made when training ends."""

import contextlib
import dataclasses

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.optimizers import AveragedSGD
from keras_sparse_rnn.slots import slots_of
from keras_sparse_rnn.substitution.kinds import owner_of
from keras_sparse_rnn.units.walk import Walk

AVERAGES = "averages"  # the list of an `AveragedSGD`


def shift_of(layer, reads, live):
    """What the constants that `layer` reads and that do not stay add to its units.

    Args:
        layer: the layer.
        reads: list of `Read`.
        live: which labels stay, bool `[labels]`.

    Returns:
        float64 `[gates * units]`; None: nothing.
    """
    shift = np.zeros(1)
    for read in reads:
        if read.layer is layer and read.folds:
            gone = np.where(live[read.rows.labels], 0.0, read.rows.constants)
            shift = shift + gone @ read.weights.sum(axis=0)
    return shift if shift.any() else None


def shifts_of_averages(model, cuts, reads, live):
    """The same for the averages of weights that the optimizer of `model` keeps, by `use_ema` or as
    an `AveragedSGD`: constants, and the weights that read them, are those of the averages.

    Args:
        model: the model. Its weights are others for a moment.
        cuts: list of `Cut`.
        reads: the list of `Read` of the `Walk` along `model`. What is no constant with the averages
            (a weight that was set to zero by hand a moment ago) is taken for the one that it is.
        live: which labels stay, bool `[labels]`.

    Returns:
        `{name: [(cut, shift)]}`, by the name of the optimizer's list of averages.
    """
    found = {}
    for name, averages in _averages_of(model).items() if cuts else ():
        with _in_place(averages):
            others = Walk(model).reads
        others = [
            dataclasses.replace(
                other,
                rows=other.rows.with_values(
                    np.where(other.rows.varies, own.rows.values, other.rows.values)
                ),
            )
            for own, other in zip(reads, others)
        ]
        shifts = [(cut, shift_of(cut.layer, others, live)) for cut in cuts]
        found[name] = [(cut, shift) for cut, shift in shifts if shift is not None]
    return found


def fold_into_averages(optimizer, shifts, copies):
    """Adds `shifts_of_averages` to what `optimizer`, that of the new model, keeps.

    Args:
        optimizer: it, or None.
        shifts: what `shifts_of_averages` returns.
        copies: `{id(layer): new layer}`.
    """
    for name, pairs in shifts.items():
        for cut, shift in pairs:
            for _, kept, slot in slots_of(optimizer, owner_of(copies[id(cut.layer)]).bias):
                if kept == name:
                    slot.assign(cut.shifted(slot.numpy(), shift))


def _averages_of(model):
    """`{name: [(variable, average)]}`: each kind of averages of the weights of `model`."""
    found = {}
    for variable in model.trainable_variables:
        for owner, name, slot in slots_of(getattr(model, "optimizer", None), variable):
            if isinstance(owner, AveragedSGD) and name == AVERAGES:
                # A weight of which there is no average yet is its own.
                average = owner.average_of(variable)
            elif name == private_keras.EMA:
                average = slot
            else:
                continue
            found.setdefault(name, []).append((variable, keras.ops.convert_to_numpy(average)))
    return found


@contextlib.contextmanager
def _in_place(averages):
    """While it lasts, the variables of `averages` are their averages."""
    before = [(variable, variable.numpy()) for variable, _ in averages]
    try:
        for variable, average in averages:
            variable.assign(average)
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
