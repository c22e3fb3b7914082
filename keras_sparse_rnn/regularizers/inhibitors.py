"""How dear a weight is by the distance of the two neurons that it joins: functions of distance for
`Moduli`.

They are those of Mackey et al. 2024 (arXiv 2406.06290), of distances `d` in the units of
`keras_sparse_rnn.manifolds`."""

import math

import tensorflow as tf

_PEAK_PLACE = (
    math.log(20) / 3.8
)  # d**2 at which the difference of the Gaussians is largest: d = 0.89
_PEAK = 100 * (math.exp(-_PEAK_PLACE / 5) - math.exp(-4 * _PEAK_PLACE))


def diffusion(distance):
    """`d**2`: the farther, the dearer, without end."""
    return distance * distance


def gauss(distance):
    """`100 * exp(-d**2 / 3)`: what is near is dear, beyond a distance of about 4 nothing costs
    anything.
    """
    return 100 * tf.exp(-distance * distance / 3)


def difference_of_gaussians(distance):
    """`max(g) - g` with `g = 100 * (exp(-d**2 / 5) - exp(-4 * d**2))`: 81, 23, 1, 36 and 77 at d =
    0, 0.5, 1, 2 and 4.

    Free on a ring of radius 0.89 around a neuron, dear on the spot and far away (81 at most). The
    maximum is that over all distances, 81.1, whichever distances there are.
    """
    squares = distance * distance
    return tf.maximum(_PEAK - 100 * (tf.exp(-squares / 5) - tf.exp(-4 * squares)), 0)


def ripple(distance):
    """`50 + 50 * cos(2 * d)`: free on rings at distances of 1.6, 4.7, 7.9, ..."""
    return 50 + 50 * tf.cos(2 * distance)


INHIBITORS = {
    function.__name__: function for function in (diffusion, gauss, difference_of_gaussians, ripple)
}


def check_inhibitor(inhibitor):
    """Returns the function of distance that `inhibitor` names, or that it is; else raises a
    `ValueError`.
    """
    if isinstance(inhibitor, str) and inhibitor in INHIBITORS:
        return INHIBITORS[inhibitor]
    if not callable(inhibitor):
        raise ValueError(
            "`inhibitor` must be a function of distances or one of "
            f"{', '.join(map(repr, INHIBITORS))}. Received: inhibitor={inhibitor!r}"
        )
    return inhibitor
