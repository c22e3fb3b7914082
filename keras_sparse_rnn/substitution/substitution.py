"""`substitute` and `to_dense`."""

import warnings

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.layers.arguments import check_kernel, check_storage, check_weights
from keras_sparse_rnn.patterns import check_block_shape
from keras_sparse_rnn.substitution.classes import is_rebuildable
from keras_sparse_rnn.substitution.rebuilding import Rebuilder, walk
from keras_sparse_rnn.substitution.recompiling import is_a, recompile
from keras_sparse_rnn.substitution.twins import (
    block_sparse_twin,
    has_twin,
    is_block_sparse,
    keras_twin,
)


def substitute(
    model, block_shape=None, storage="packed", kernel="auto", *, dense=False, weights="float32"
):
    """A model in which the recurrent layers of `model` are block-sparse: same predictions, only
    live blocks are computed.

    Every LSTM, GRU and SimpleRNN is swapped for its block-sparse twin, also in `Bidirectional`,
    `TimeDistributed` and nested models; shared layers stay shared. Weights carry over, and the
    predictions agree to float32 rounding. The new model is compiled like the old one: a new
    optimiser of the same class and settings with the old one's step and moments, the same loss and
    metrics, so training goes on. `model` stays as it is.

    Two optimisers see packed kernels with other eyes. Adafactor gets an `epsilon_1` of at least
    1e-15 where blocks are partial, or their padding would make it divide 0 by 0; its factors start
    afresh. Muon trains matrices only, and packed kernels by its AdamW: a `UserWarning` says so.

    What gains nothing is left as it is and named in a `UserWarning`: with `storage="packed"` a
    layer without a zero block; `RNN` with cells, ConvLSTM and subclasses of the three layers;
    layers inside custom layers, which cannot be reached.

    A kernel that is all zero or a multiple of the identity has not been pruned: an initializer
    makes it so. All its blocks live.

    Args:
        model: a built Sequential or functional model. Prune it first
            (`ksr.callbacks.BlockPruning`).
        block_shape: `(rows, columns)` of the kernels of one gate, as it was pruned. None looks at
            the zeros of each kernel: of the common shapes it takes the one whose live blocks are
            estimated to cost least time, counting the stored weights and how fast blocks of that
            shape run (see `keras_sparse_rnn.substitution.block_shapes`). A layer that is
            block-sparse already keeps its shape.
        storage: `"packed"` keeps live weights only. `"masked"` keeps the dense weights, so that
            `BlockPruning` can go on pruning; all layers are swapped, zero blocks or not.
        kernel: `"auto"`, `"native"` or `"reference"`.
        dense: whether `Dense` layers with zero blocks are swapped too.
        weights: `"float32"`; or, for a model that only predicts from now on, `"bfloat16"` or
            `"int8"`: packed kernels of a half or a quarter of the bytes, faster in small batches,
            with predictions that differ by the rounding (see `keras_sparse_rnn.ops.quantize`). They
            cannot be trained, and the optimiser starts without the old one's state.

    Returns:
        A new `keras.Model`.

    Raises:
        ValueError: `model` is no such model, is not built or has no recurrent layer; or a block is
            larger than a recurrent kernel.
    """
    _check_model(model)
    block_shape = None if block_shape is None else check_block_shape(block_shape)
    check_storage(storage)
    check_kernel(kernel)
    check_weights(weights, storage)
    layers = list(walk(model))
    wanted = [
        layer
        for layer in layers
        if has_twin(layer) and (dense or isinstance(layer, keras.layers.RNN))
    ]
    unreachable = _unreachable(model, layers)
    if not wanted and not unreachable:
        raise ValueError(
            "`model` must have a recurrent layer (LSTM, GRU or SimpleRNN) to substitute. "
            f"Received: the model {model.name!r} with layers of "
            f"{sorted({type(layer).__name__ for layer in model.layers})}"
        )
    replacements, dense_ones = {}, []
    for layer in wanted:
        try:
            twin, sparse = block_sparse_twin(layer, block_shape, storage, kernel, weights)
        except ValueError as error:
            raise ValueError(f"The layer {layer.name!r} cannot be substituted: {error}") from error
        if sparse or storage == "masked" or is_block_sparse(layer):
            replacements[id(layer)] = twin
        elif isinstance(layer, keras.layers.RNN):
            dense_ones.append(layer.name)
    if dense_ones:
        shape = "of any common shape" if block_shape is None else f"of {block_shape}"
        names = ", ".join(map(repr, dense_ones))
        _warn(
            f"no block {shape} is zero in {names}: left as it is, for nothing would be gained. "
            "Prune it first"
        )
    if unreachable:
        names = ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in unreachable)
        _warn(
            "only keras.layers.LSTM, GRU and SimpleRNN can be substituted, outside custom "
            f"layers: {names} left as it is"
        )
    new = _rebuilt(model, replacements)
    if storage == "packed" and replacements and is_a(getattr(model, "optimizer", None), "Muon"):
        _warn(
            "Muon trains matrices only, so it trains packed kernels by its AdamW, from fresh "
            "moments. "
            'Kernels of `storage="masked"` stay matrices'
        )
    return new


def to_dense(model):
    """The plain Keras model of a substituted one: every block-sparse layer becomes its Keras
    parent, with bit-equal weights, dead blocks zero.

    Names, order and shapes of the weights are Keras's own, so weights files of the original model
    fit. The optimiser carries over as in `substitute`. `model` stays as it is; without block-sparse
    layers the result is a copy of it.

    Args:
        model: a built Sequential or functional model.

    Returns:
        A new `keras.Model`.

    Raises:
        ValueError: `model` is no such model or is not built.
    """
    _check_model(model)
    return _rebuilt(
        model, {id(layer): keras_twin(layer) for layer in walk(model) if is_block_sparse(layer)}
    )


def _rebuilt(model, replacements):
    new, transfers = Rebuilder(replacements).rebuild(model)
    recompile(model, new, transfers)
    return new


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a keras.Model. Received: model={model!r} of type "
            f"{type(model).__name__}"
        )
    if not is_rebuildable(model):
        raise ValueError(
            "`model` must be a Sequential or functional model: what a subclassed model computes "
            "stands in its code, which cannot be rebuilt. Build its layers as "
            "keras_sparse_rnn.layers.BlockSparseLSTM (GRU, SimpleRNN) in the class itself. "
            f"Received: the model {model.name!r} of class {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built, for its weights decide which blocks live: give it an Input, "
            f"or call it once. Received: the model {model.name!r}, which is not built"
        )


def _unreachable(model, layers):
    """The recurrent layers of `model` that cannot be replaced: of another class, or inside a custom
    layer.
    """
    reachable = {id(layer) for layer in layers if has_twin(layer)}
    return [
        layer
        for layer in private_keras.inner_layers(model)
        if isinstance(layer, keras.layers.RNN) and id(layer) not in reachable
    ]


def _warn(message):
    warnings.warn(f"substitute: {message}.", UserWarning, stacklevel=3)
