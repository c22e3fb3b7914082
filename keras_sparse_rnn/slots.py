"""What an optimizer remembers of a variable: the one place that walks its slots.

The masks of `BlockPruning` are constraints on weights: gradients are not masked, and the slots of a
Keras layer's kernel hold running means for dead blocks, too.
"""

import keras
import numpy as np

from keras_sparse_rnn import private_keras

# The slots that hold a running mean of gradients, up to a factor, and of squared gradients. By
# class, for a name alone does not tell: the `_momentums` of ScheduleFreeAdamW are weights.
FIRST_MOMENTS = {
    "Adam": "_momentums",
    "Lamb": "_momentums",
    "Lion": "_momentums",
    "Nadam": "_momentums",
    "SGD": "momentums",
}
SECOND_MOMENTS = {name: "_velocities" for name in ("Adam", "Lamb", "Nadam", "RMSprop")}


def optimizers_of(model):
    """`[(name, optimizer)]`: that of `compile`, and those that a model of one's own (a GAN) has as
    attributes, or in lists and dicts among them, each once.
    """
    named = [("optimizer", getattr(model, "optimizer", None)), *vars(model).items()]
    for name, held in list(named):
        if isinstance(held, dict):
            named += [(f"{name}[{key!r}]", one) for key, one in held.items()]
        elif isinstance(held, (list, tuple)):
            named += [(f"{name}[{number}]", one) for number, one in enumerate(held)]
    found = {}
    for name, one in named:
        if isinstance(one, keras.optimizers.Optimizer):
            found.setdefault(id(one), (name, one))
    return list(found.values())


def nested(optimizer):
    """Yields `optimizer` and those that it wraps or holds (LossScaleOptimizer, MultiOptimizer); of
    a list of optimizers, all of them.
    """
    if optimizer is None:
        return
    if isinstance(optimizer, (list, tuple)):
        for one in optimizer:
            yield from nested(one)
        return
    if isinstance(optimizer, keras.optimizers.Optimizer):
        yield optimizer
    yield from nested(getattr(optimizer, "inner_optimizer", None))
    for one in getattr(optimizer, "optimizers", ()):
        yield from nested(one)


def updates_made(optimizer):
    """How many updates `optimizer` has made, an int.

    Of a LossScaleOptimizer those of the one that it wraps: before Keras 3.9 its own count stays 0.
    """
    return int(getattr(optimizer, "inner_optimizer", optimizer).iterations.numpy())


def batches_per_step(optimizer):
    """How many batches `optimizer` accumulates the gradients of for one step."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return getattr(inner, "gradient_accumulation_steps", None) or 1


def slots_of(optimizer, variable):
    """Yields `(optimizer, name, slot)` for all that `optimizer` keeps for `variable`: the optimizer
    that keeps it, the name of its list and the slot, a `keras.Variable`.
    """
    for one in nested(optimizer):
        index = _index(one, variable)
        if index is None:
            continue
        seen = {id(variable)}
        for name, kept in private_keras.slot_lists(one).items():
            if isinstance(kept[index], keras.Variable) and id(kept[index]) not in seen:
                seen.add(id(kept[index]))
                yield one, name, kept[index]


def knows(optimizer, variable):
    """Whether `optimizer`, or one inside it, was built for `variable`."""
    return any(_index(one, variable) is not None for one in nested(optimizer))


def moving_averages(optimizer, variable):
    """The averages of `variable` kept under `use_ema`; none before the optimizer is built."""
    found = []
    for one in nested(optimizer):
        index, averages = _index(one, variable), private_keras.moving_averages(one)
        if index is not None and averages and averages[index] is not None:
            found.append(averages[index])
    return found


def first_moment(optimizer, variable):
    """The running mean of the gradients of `variable`, float64 of its shape, up to a factor, which
    may be negative; None if there is none.
    """
    return _moment(optimizer, variable, FIRST_MOMENTS)


def second_moment(optimizer, variable):
    """The running mean of the squared gradients of `variable`, float64 of its shape; None if there
    is none.
    """
    return _moment(optimizer, variable, SECOND_MOMENTS)


def keeps_second_moments(optimizer):
    """Whether `optimizer`, or one inside it, keeps running means of squared gradients."""
    kinds = tuple(getattr(keras.optimizers, name) for name in SECOND_MOMENTS)
    return any(isinstance(one, kinds) for one in nested(optimizer))


def _moment(optimizer, variable, names):
    for optimizer_of_slot, name, slot in slots_of(optimizer, variable):
        for kind, known in names.items():
            if name == known and isinstance(optimizer_of_slot, getattr(keras.optimizers, kind, ())):
                return np.asarray(slot.numpy(), np.float64)
    return None


def _index(optimizer, variable):
    known = private_keras.optimizer_variables(optimizer)
    return next((number for number, one in enumerate(known) if one is variable), None)
