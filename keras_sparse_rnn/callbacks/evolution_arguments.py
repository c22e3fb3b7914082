"""The arguments of `Evolution`: what is refused, and how they are told."""

import numbers
import warnings

from keras_sparse_rnn.pruning.evolving import DROPS
from keras_sparse_rnn.slots import batches_per_step

GROWTHS = ("gradient", "random")
SCOPES = ("gate", "kernel")


def last_step(params, optimizer, frequency):
    """Three quarters of the steps of a `fit`, of which Keras has given `params` to its callbacks.

    Raises:
        ValueError: nobody knows how many there are, or they are over before the first exchange.
    """
    params = params or {}
    if params.get("steps") is None:
        raise ValueError(
            "`end_step` must be given where nobody knows how many steps there will be: in a "
            "loop of your own, and in a `fit` of data without a length. Received: end_step=None"
        )
    steps = params["steps"] * params["epochs"] // batches_per_step(optimizer)
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
