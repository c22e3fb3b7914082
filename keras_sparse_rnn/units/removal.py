"""Takes the units out of a model that do nothing."""

import numpy as np

from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.outside import warn_of_lacking
from keras_sparse_rnn.substitution.rebuilding import Rebuilder
from keras_sparse_rnn.substitution.recompiling import recompile
from keras_sparse_rnn.units.cutting import Cut
from keras_sparse_rnn.units.folding import fold_into_averages, shift_of, shifts_of_averages
from keras_sparse_rnn.units.liveness import alive
from keras_sparse_rnn.units.refusals import check_cut, refuse_emptied
from keras_sparse_rnn.units.walk import Walk


def remove_dead_units(model):
    """A model that computes what `model` does with fewer units: those that nothing reads, and those
    that never change, are gone.

        small = ksr.remove_dead_units(model)      # after pruning
        sparse = ksr.substitute(small)

    A unit stays if an output of the model depends on it: if something reads it with a weight that
    is not zero, and that in turn is read, and so on. Units of a recurrent layer that read only each
    other are gone, therefore. So are constants, whose value goes into the bias of what reads them:
    a unit of a `Dense`, `Conv1D`, `Embedding` or `SimpleRNN` layer whose weights from all that
    varies are zero; and a unit of any recurrent layer whose candidate is always zero, so that it
    stays at the zero at which it begins. Other units of an LSTM or GRU without inputs are not
    constant: they move from zero towards a limit, and stay.

    Layers that become smaller: `LSTM`, `GRU`, `SimpleRNN`, `RNN` around one of their cells,
    `Dense`, `Embedding`, `Conv1D`, those of `keras_sparse_rnn.layers` in either storage, and
    `BatchNormalization`; also in `Bidirectional` (with as many units in both ways), in
    `TimeDistributed` and in nested models. What looks at all channels together, such as attention,
    `LayerNormalization` or a softmax, keeps what it reads. So do outputs of the model, states among
    them, and initial states that come from outside. Layers that pass states on to each other, or
    are added, lose the same units.

    The units that stay keep their order, and blocks are cut anew along them, with partial ones at
    the edges. Where whole blocks of units go, the live blocks stay as they were; where single units
    go, live weights move into other blocks, and more of these may live than before.

    The new model is compiled like the old one, and what the optimizer keeps goes with the weights.
    To averages of biases that it keeps the constants are added that the averages give.
    `model` stays as it is. Sums have fewer terms, so outputs agree to rounding. They do so when the
    model predicts: dropout on a constant, say, is gone. Where masks leave steps out only zeros
    count as constants behind a `SimpleRNN` or a pooling, and nothing does behind a `Multiply`,
    `Maximum` or `Minimum`; a mask that is given to the call of a model by hand is not known here.

    Args:
        model: a built Sequential or functional model.

    Returns:
        A new `keras.Model`.

    Raises:
        ValueError: a layer is a `Lambda`, of a class of your own or called more than once, or has
            quantized weights; a layer with a `TrainableModuli` or a `low_precision` would become
            smaller; a layer would lose all of its units. The message names it.
    """
    walk = Walk(model)
    live = alive(walk)
    cuts = {}
    for part in walk.parts:
        cut = _cut(part, live, walk.reads)
        if not len(cut.units):
            refuse_emptied(part.layer, model)
        if cut.shift is not None or _is_smaller(part, cut):
            check_cut(part.layer, model)
            cuts[id(part.layer)] = cut
    rebuilder = Rebuilder(
        {key: cut.smaller() for key, cut in cuts.items()},
        transfers=lambda old, new: cuts[id(old)].transfers(new),
    )
    new, transfers = rebuilder.rebuild(model)
    for old, copy in rebuilder.pairs(model):
        if id(old) in cuts:
            cuts[id(old)].fold(copy)
    shifts = shifts_of_averages(model, list(cuts.values()), walk.reads, live)
    recompile(model, new, transfers)
    copies = {id(old): copy for old, copy in rebuilder.pairs(model)}
    fold_into_averages(getattr(new, "optimizer", None), shifts, copies)
    for old, copy in rebuilder.pairs(model):
        if is_rebuildable(old):
            warn_of_lacking(old, copy, stacklevel=2)
    return new


def _cut(part, live, reads):
    inputs = np.flatnonzero(live[part.inputs.labels])
    shift = shift_of(part.layer, reads, live)
    return Cut(part.layer, inputs, np.flatnonzero(live[part.units]), shift)


def _is_smaller(part, cut):
    return len(cut.units) < len(part.units) or len(cut.inputs) < len(part.inputs)
