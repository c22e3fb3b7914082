"""The arguments of `Evolution`: what is refused, and how they are told."""

import numbers
import warnings

from keras_sparse_rnn.layers import BlockSparseCell
from keras_sparse_rnn.private_keras import inner_layers
from keras_sparse_rnn.pruning.evolving import DROPS
from keras_sparse_rnn.slots import batches_per_step

GROWTHS = ("gradient", "random")
SCOPES = ("gate", "kernel")


def last_step(params, optimizer, frequency, first=0):
    """Three quarters of the steps of a `fit` that begins at the epoch `first`, of which Keras has
    given `params` to its callbacks.

    Raises:
        ValueError: nobody knows how many there are, or they are over before the first exchange.
    """
    params = params or {}
    if params.get("steps") is None:
        raise ValueError(
            "`end_step` must be given where nobody knows how many steps there will be: in a "
            "loop of your own, and in a `fit` of data without a length. Received: end_step=None"
        )
    steps = params["steps"] * (params["epochs"] - first) // batches_per_step(optimizer)
    check_end(3 * steps // 4, frequency, f", of the {steps} steps of this fit")
    return 3 * steps // 4


def warn_if_over(step, end, frequency, given):
    """Warns where training begins after the last exchange.

    Args:
        step: that the optimizer has come to.
        end: the step from which on nothing is exchanged.
        frequency: steps between two exchanges.
        given: whether `end_step` was given.
    """
    if step // frequency < (end - 1) // frequency:
        return
    of_what = "" if given else ", three quarters of the steps of this fit"
    warnings.warn(
        f"Evolution: no block will be exchanged, for the optimizer has made {step} steps before "
        f"this training and nothing is exchanged from step {end} on{of_what}. In several "
        "trainings of one model give each the same `end_step`, counted from the first; or compile "
        "the model anew, which begins at step 0",
        UserWarning,
        stacklevel=2,
    )


def in_words(options):
    """What `Evolution._options` returns, as a user gives it."""
    frequency, fraction, end, growth, drop, scope, keep_diagonal = options
    return (
        int(frequency),
        fraction,
        int(end),
        GROWTHS[int(growth)],
        DROPS[int(drop)],
        SCOPES[int(scope)],
        bool(keep_diagonal),
    )


def check_fraction(fraction):
    """Returns `fraction` as a float between 0 and 1, or raises a `ValueError`."""
    valid = isinstance(fraction, numbers.Real) and not isinstance(fraction, bool)
    if not valid or not 0 < fraction < 1:
        raise ValueError(
            "`fraction` must be a number between 0 and 1, the share of live blocks that is "
            f"exchanged at first. Received: fraction={fraction!r}"
        )
    return float(fraction)


def check_end(end_step, frequency, of_what=""):
    if end_step <= frequency:
        raise ValueError(
            "`end_step` must be larger than `frequency`, or no block is ever exchanged. Received: "
            f"end_step={end_step}{of_what}, frequency={frequency}"
        )


def check_gradients(model, kernels):
    """Raises a `ValueError` if the gradients of dead blocks of `kernels`, a list of
    `EvolvingKernel`, cannot be had.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1:
        raise ValueError(
            '`growth` must be "random" where several replicas train a model: each knows the '
            f"gradients of its own samples only. Received: growth='gradient', {replicas} "
            "replicas"
        )
    cells = [one for one in inner_layers(model) if isinstance(one, BlockSparseCell)]
    stepped = {id(cell.layer): cell for cell in cells}
    for one in kernels:
        if id(one.layer) in stepped:
            raise ValueError(
                '`growth` must be "random" for the cell '
                f"{stepped[id(one.layer)].name!r}, which takes one step at a time: gradients "
                "of dead blocks are those of whole sequences. Received: growth='gradient'"
            )
        if getattr(one.layer, "trains_step_by_step", False):
            raise ValueError(
                '`growth` must be "random" for a layer that trains in Keras\'s own loop '
                "(`recurrent_dropout`, or `dropout` with `implementation=1`): gradients of "
                f"dead blocks are those of whole sequences. Received: growth='gradient', the "
                f"layer {one.layer.name!r}"
            )
        if one.layer.low_precision is not None:
            raise ValueError(
                '`growth` must be "random" for a layer that trains at few bits: the gradient '
                "of a dead block is that of float weights. Received: growth='gradient', the "
                f"layer {one.layer.name!r} with low_precision={one.layer.low_precision!r}"
            )
