"""`substitute` and `to_dense`."""

import warnings

import tensorflow as tf

from keras_sparse_rnn.layers.arguments import (
    check_kernel,
    check_rounding,
    check_storage,
    check_weights,
)
from keras_sparse_rnn.patterns import check_block_shape
from keras_sparse_rnn.quantization.low_precision import check_low_precision
from keras_sparse_rnn.substitution.calibration import check_calibration, input_ranges
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.kinds import is_block_sparse, is_recurrent, stepped
from keras_sparse_rnn.substitution.models import check_model, unreachable_layers, with_twins
from keras_sparse_rnn.substitution.outside import warn_of_lacking
from keras_sparse_rnn.substitution.rebuilding import Rebuilder
from keras_sparse_rnn.substitution.recompiling import is_a, recompile
from keras_sparse_rnn.substitution.saving import not_loadable
from keras_sparse_rnn.substitution.twins import block_sparse_twin, keras_twin, why_slow
from keras_sparse_rnn.substitution.walking import walk


def substitute(
    model,
    block_shape=None,
    storage="packed",
    kernel="auto",
    *,
    dense=False,
    weights="float32",
    activations="float32",
    calibration=None,
    low_precision=None,
    in_place=False,
):
    """A model in which the recurrent layers of `model` are block-sparse: same predictions, only
    live blocks are computed.

    Every LSTM, GRU and SimpleRNN, and every RNN around one of their cells, is swapped for its
    block-sparse twin, also in `Bidirectional`, `TimeDistributed`, nested models and layers of your
    own; shared layers stay shared. Their cells in other places (in `StackedRNNCells`, in cells and
    loops of your own, or held by several layers) become `layers.BlockSparseCell`s. Weights carry
    over, and the predictions agree to float32 rounding. The new model is compiled like the old one:
    a new optimiser of the same class and settings with the old one's step and moments, the same
    loss and metrics, so training goes on. (Variables of other models that the old optimiser serves,
    too, stay with it.) `model` stays as it is.

    A subclassed model cannot be rebuilt, for what it computes stands in its code. It is converted
    as it stands, and returned:

    >>> import keras
    >>> class Tagger(keras.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm, self.head = keras.layers.LSTM(16), keras.layers.Dense(2)
    ...     def call(self, x):
    ...         return self.head(self.lstm(x))
    >>> tagger = Tagger()
    >>> tagger(keras.ops.zeros((1, 5, 16))).shape  # built
    TensorShape([1, 2])
    >>> tagger is substitute(tagger, storage="masked", in_place=True)
    True
    >>> type(tagger.lstm).__name__
    'BlockSparseLSTM'
    >>> type(to_dense(tagger, in_place=True).lstm).__name__
    'LSTM'

    Its layers must be held in attributes, or in lists and dicts in them, and their variables
    nowhere else. A function that you traced yourself (`tf.function`) goes on with the old layers:
    make it anew. An optimizer in an attribute does not know the new weights. To save such a model,
    or one that has a layer of your own with recurrent layers in it, as a Keras file, `to_dense` it
    first: its class makes Keras layers when it is loaded, and the file would not load. A
    `UserWarning` says so.

    Sequential and functional models of your own class keep it if the constructor takes the layers,
    or the inputs and outputs, as Keras's does, other arguments by the names of attributes or of
    entries of `get_config`. Where they cannot, a `UserWarning` names the methods that are lost, and
    a `ValueError` those on which predictions depend. A class with its own `compile` is compiled if
    it has its own `get_compile_config` and `compile_from_config`; else compile it as before.
    Layers in attributes that are not in the graph, such as a teacher that its `compile` has stored,
    are not copied: a `UserWarning` names them.

    Layers of your own are copied from their configs, and the copies compared with them on random
    inputs: one that computes something else, or goes on with a weight of `model`, is refused. A
    layer that has no config, and holds neither variables nor layers (Keras's CTC example has one,
    for a loss), is shared by both models.

    With a loss or metric that reads a weight of `model`, or an optimizer that its config does not
    make, the new model is not compiled: a `UserWarning` says why.

    Some optimisers see packed kernels with other eyes. Adafactor gets an `epsilon_1` of at least
    1e-15 where blocks are partial, or their padding would make it divide 0 by 0; its factors start
    afresh. Muon trains matrices only, and packed kernels by its AdamW: a `UserWarning` says so.
    Lamb's trust ratio and clipping by norm (`clipnorm`, `global_clipnorm`) go by norms over whole
    weights, in which the dead blocks of a Keras layer count; packed kernels have none, so steps
    differ.

    What gains nothing is left as it is and named in a `UserWarning`: with `storage="packed"` a
    layer without a zero block, and with `kernel="auto"` one whose activation or dtype the native
    ops do not know; other cells, ConvLSTM and subclasses of the three layers.

    A kernel that is all zero or a multiple of the identity has not been pruned: an initializer
    makes it so. All its blocks live.

    Under a `tf.distribute` strategy the variables of the new model are made as Keras makes all:
    call this within `strategy.scope()` to train the new model on; outside it, a `UserWarning` says
    that it will train alone.

    Args:
        model: a built `keras.Model`. Prune it first (`ksr.callbacks.BlockPruning`).
        block_shape: `(rows, columns)` of the kernels of one gate, as it was pruned. None looks at
            the zeros of each kernel: of the common shapes it takes the one whose live blocks are
            estimated to cost least time, counting the stored weights and how fast blocks of that
            shape run (see `keras_sparse_rnn.substitution.block_shapes`). A layer that is
            block-sparse already keeps its shape. In a layer that is smaller than a block, blocks
            are cut to it, with a `UserWarning`.
        storage: `"packed"` keeps live weights only. `"masked"` keeps the dense weights, so that
            `BlockPruning` can go on pruning; all layers are swapped, zero blocks or not.
        kernel: `"auto"`, `"native"` or `"reference"`.
        dense: whether `Dense` layers with zero blocks are swapped, too; with packed storage not in
            `SpectralNormalization`.
        weights: `"float32"`; or, for a model that only predicts from now on, `"bfloat16"` or
            `"int8"`: packed kernels of a half or a quarter of the bytes, faster in small batches,
            with predictions that differ by the rounding (see `keras_sparse_rnn.ops.quantize`). They
            cannot be trained, and the optimiser starts without the old one's state.
        activations: `"int8"`, with int8 weights only, rounds inputs and states to integers from
            -127 to 127, too, so that the products are those of integers.
        calibration: inputs of the model for `activations="int8"`: an array, a list or dict of
            arrays as the model takes them, or a `tf.data.Dataset` of batches (labels are left
            out). The model predicts on them once, and 127 stands for the largest input in absolute
            value that a layer gets then; what is larger later counts as it. None: 127 stands for
            the largest input of each step of each sample.
        low_precision: a `ksr.quantization.LowPrecision`: all layers are swapped for ones that
            compute, and train, at few bits. Without, a layer of that kind gives its twin the
            weights that it computes with; and with `weights="int8"`, its integers as they are.
        in_place: change `model` itself, which must be a subclassed one.

    Returns:
        A new `keras.Model`; `model` if `in_place`.

    Raises:
        ValueError: `model` is no such model, is not built or has no recurrent layer; a layer or a
            class in it cannot be copied, see above; or an argument is not as described. `model` is
            as it was then.
    """
    check_model(model, "substitute", in_place)
    block_shape = None if block_shape is None else check_block_shape(block_shape)
    check_storage(storage)
    check_kernel(kernel)
    check_weights(weights, storage)
    check_rounding(activations, 0.0, weights)
    check_low_precision(low_precision, storage, weights)
    check_calibration(calibration, activations)
    replaceable = with_twins(model, storage)
    wanted = [layer for layer in replaceable if dense or is_recurrent(layer)]
    unreachable = unreachable_layers(model, replaceable)
    if not wanted and not unreachable:
        raise ValueError(
            "`model` must have a recurrent layer (LSTM, GRU or SimpleRNN) to substitute. "
            f"Received: the model {model.name!r} with layers of "
            f"{sorted({type(layer).__name__ for layer in model.layers})}"
        )
    ranges = {} if calibration is None else input_ranges(model, wanted, calibration)
    replacements, dense_ones, small, slow, looping = {}, [], [], [], []
    speeds_up = storage == "packed" and kernel == "auto" and weights == "float32"
    speeds_up = speeds_up and low_precision is None
    for layer in wanted:
        try:
            rounding = {
                "activations": activations,
                "input_range": ranges.get(id(layer), 0.0),
                "low_precision": low_precision,
            }
            twin, sparse = block_sparse_twin(
                layer, block_shape, storage, kernel, weights=weights, **rounding
            )
        except ValueError as error:
            raise ValueError(f"The layer {layer.name!r} cannot be substituted: {error}") from error
        reason = why_slow(twin) if speeds_up and not is_block_sparse(layer) else None
        if reason and sparse:
            slow.append(f"{layer.name!r} ({reason})")
        elif sparse or storage == "masked" or low_precision or is_block_sparse(layer):
            replacements[id(layer)] = twin
            twin = stepped(twin)
            if speeds_up and getattr(twin, "trains_step_by_step", False):
                looping.append(layer.name)
            used = getattr(twin, "recurrent_block_shape", None) or twin.block_shape
            if block_shape not in (None, used):
                small.append(layer.name)
        elif is_recurrent(layer):
            dense_ones.append(layer.name)
    if dense_ones:
        shape = "of any common shape" if block_shape is None else f"of {block_shape}"
        names = ", ".join(map(repr, dense_ones))
        _warn(
            f"no block {shape} is zero in {names}: left as it is, for nothing would be gained. "
            "Prune it first"
        )
    if slow:
        _warn(
            "plain TensorFlow would have to run these layers, and nothing would be gained: "
            f'{"; ".join(slow)}. Left as they are; `kernel="reference"` swaps them all the same'
        )
    if looping:
        _warn(
            f"{', '.join(map(repr, looping))} with dropout between time steps "
            "(`recurrent_dropout`, or `dropout` with `implementation=1`) predicts fast, but trains "
            "in Keras's own loop over time"
        )
    if small:
        _warn(
            f"blocks of {block_shape} are larger than {', '.join(map(repr, small))}: cut to the "
            "size of the kernels there"
        )
    unheard = [one.name for one in wanted if id(one) in replacements and id(one) not in ranges]
    if calibration is not None and unheard:
        _warn(
            f"the model does not call {', '.join(map(repr, unheard))} when it runs over "
            "`calibration`: the inputs are rounded by the largest one of each step"
        )
    if unreachable:
        names = ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in unreachable)
        _warn(
            "only keras.layers.LSTM, GRU and SimpleRNN, and their cells, can be substituted: "
            f"{names} left as it is"
        )
    new = _with(replacements, model, in_place)
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    if tf.distribute.get_strategy().num_replicas_in_sync < replicas:
        _warn(
            f"the model {model.name!r} trains on {replicas} replicas, and the new one does not. To "
            "train it on, call substitute within the `scope()` of the strategy, on every worker; "
            "to save or export it, leave it so"
        )
    if storage == "packed" and replacements and is_a(getattr(model, "optimizer", None), "Muon"):
        _warn(
            "Muon trains matrices only, so it trains packed kernels by its AdamW, from fresh "
            "moments. "
            'Kernels of `storage="masked"` stay matrices'
        )
    if replacements and (classes := not_loadable(new)):
        back = "to_dense(model, in_place=True)" if in_place else "to_dense(model)"
        _warn(
            f"a Keras file of {new.name!r} cannot be loaded again: the layers that "
            f"{', '.join(classes)} makes then are Keras's. `{back}` before `save`, or save the "
            "weights only (`save_weights`; `ModelCheckpoint` with `save_weights_only=True`)"
        )
    return new


def to_dense(model, *, in_place=False):
    """The plain Keras model of a substituted one: every block-sparse layer becomes its Keras
    parent, with bit-equal weights, dead blocks zero.

    Names, order and shapes of the weights are Keras's own, so weights files of the original model
    fit. (What was an RNN around a cell is the LSTM, GRU or SimpleRNN that it equals.) Classes of
    your own and the optimiser carry over as in `substitute`. `model` stays as it is; without
    block-sparse layers the result is a copy of it.

    Args:
        model: a built `keras.Model`.
        in_place: change `model` itself, which must be a subclassed one.

    Returns:
        A new `keras.Model`; `model` if `in_place`.

    Raises:
        ValueError: `model` is no such model or is not built, or cannot be copied, see
            `substitute`.
    """
    check_model(model, "to_dense", in_place)
    replacements = {}
    for layer in filter(is_block_sparse, walk(model)):
        try:
            replacements[id(layer)] = keras_twin(layer)
        except ValueError as error:
            raise ValueError(f"The layer {layer.name!r} cannot be Keras's: {error}") from error
    return _with(replacements, model, in_place)


def _with(replacements, model, in_place):
    rebuilder = Rebuilder(replacements)
    if in_place:
        new, transfers = model, rebuilder.convert(model)
    else:
        new, transfers = rebuilder.rebuild(model)
    recompile(model, new, transfers)
    for old, copy in rebuilder.pairs(model):
        if is_rebuildable(old):
            warn_of_lacking(old, copy, stacklevel=3)
    return new


def _warn(message):
    warnings.warn(f"substitute: {message}.", UserWarning, stacklevel=3)
