"""What an optimizer remembers of a variable's gradients.

The masks of `BlockPruning` are constraints on weights: gradients are not masked, and the slots of a
Keras layer's kernel hold running means for dead blocks, too."""

import numpy as np


def first_moment(optimizer, variable):
    """The running mean of the gradients of `variable`, float64 of its shape, up to a factor, which
    may be negative; None if there is none.
    """
    return _slot(optimizer, variable, ("_momentums", "momentums"))


def second_moment(optimizer, variable):
    """The running mean of the squared gradients of `variable`, float64 of its shape; None if there
    is none.
    """
    return _slot(optimizer, variable, ("_velocities",))


def _slot(optimizer, variable, names):
    """The slot of `variable` that goes by one of `names`, in `optimizer` or the one that it wraps
    or holds.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    for one in getattr(optimizer, "optimizers", [optimizer]):
        known = getattr(one, "_trainable_variables", ())
        number = next((number for number, other in enumerate(known) if other is variable), None)
        slots = next((getattr(one, name) for name in names if getattr(one, name, None)), None)
        if number is not None and slots is not None and slots[number] is not None:
            return np.asarray(slots[number].numpy(), np.float64)
    return None
