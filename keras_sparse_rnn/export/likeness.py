"""Whether outputs that are small differ from Keras's as noise does, or are others.

A tolerance relative to 1 says nothing of outputs far below 1, such as the probabilities of thirty
thousand words: any others would pass.
"""

import numpy as np

# How much of what an output varies by the difference may be, and below what share of an output's
# size it is taken for constant: of float32 files, and of those with rounded weights. Another
# output, or one in another order, differs by about 1.4 times what the expected one varies by.
LIMITS = {False: (0.1, 1e-3), True: (0.9, 0.02)}
SMALLEST = 1e-7  # a difference that no output is judged by

REFUSAL = (
    "`model` must give the same outputs in {where} as in Keras; nothing was written. Received: "
    "model={name!r}, of whose outputs one differs by as much as it varies: random inputs may not "
    "suit the model. Give a `sample` of inputs, or a `tolerance`"
)


def is_another(expected, received, rounded):
    """Whether `received` is no rounding of `expected`, arrays of one shape: by the root mean square
    of their difference, beside that of what `expected` varies by.

    Args:
        rounded: whether weights were rounded for the file.
    """
    expected, received = np.asarray(expected, np.float64), np.asarray(received, np.float64)
    if expected.size < 2:
        return False
    most, constant = LIMITS[rounded]
    varies = _size(expected - expected.mean())
    differs = _size(received - expected)
    if differs < SMALLEST or varies <= constant * _size(expected):
        return False
    return bool(differs > most * varies)


def _size(array):
    return float(np.sqrt(np.mean(np.square(array))))
