"""What an optimizer remembers of a variable: the one place that walks its slots.

The masks of `BlockPruning` are constraints on weights: gradients are not masked, and the slots of a
Keras layer's kernel hold running means for dead blocks, too.
"""

import contextlib
import contextvars
import math

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.optimizers import AveragedSGD

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

# All slots of the optimizers of which it is known what each is for a weight that was never trained:
# a number, or the attribute of the optimizer that says it.
FRESH: dict[str, dict] = {
    "Adadelta": {"_accumulated_grads": 0, "_accumulated_delta_vars": 0},
    "Adagrad": {"_accumulators": "initial_accumulator_value"},
    "Adam": {"_momentums": 0, "_velocities": 0, "_velocity_hats": 0},
    "Adamax": {"_m": 0, "_u": 0},
    "Ftrl": {"_accumulators": "initial_accumulator_value", "_linears": 0},
    "Lamb": {"_momentums": 0, "_velocities": 0},
    "Lion": {"_momentums": 0},
    "Nadam": {"_momentums": 0, "_velocities": 0},
    "RMSprop": {"_velocities": 0, "_momentums": 0, "_average_gradients": 0},
    "SGD": {"momentums": 0},
}
# Of every optimizer: gradients that wait for their step, and the average of a weight that is zero.
FRESH_OF_ALL = {"_accumulated_gradients": 0, private_keras.EMA: 0}

# The slots that hold one number for many weights, by class: which axis of the weights is left out.
FACTORS = {"Adafactor": {"_r": -1, "_c": -2}}


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


_given: contextvars.ContextVar = contextvars.ContextVar("given", default=None)


@contextlib.contextmanager
def trained_by(optimizer):
    """Lets `trainers_of` know the optimizer that a callback was given, None if it was given none: a
    model in a loop of one's own knows nothing of it.
    """
    token = _given.set(optimizer)
    try:
        yield
    finally:
        _given.reset(token)


def trainers_of(model):
    """The optimizers that train `model`, a list: that of `trained_by` first."""
    given = _given.get()
    others = [one for _, one in optimizers_of(model) if one is not given]
    return others if given is None else [given, *others]


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


def axes_of(optimizer, name, slot, variable):
    """Which axes of `variable` those of a slot of it are, a list of ints, empty if the slot is one
    number for all of it; None if that is not known.

    Args:
        optimizer, name, slot: what `slots_of` yields.
        variable: the weight.
    """
    axes = list(range(len(variable.shape)))
    if slot.shape == variable.shape:
        return axes
    if math.prod(slot.shape) == 1:
        return []
    for kind, left_out in FACTORS.items():
        if name in left_out and isinstance(optimizer, getattr(keras.optimizers, kind, ())):
            del axes[left_out[name]]
            return axes
    return None


def knows(optimizer, variable):
    """Whether `optimizer`, or one inside it, was built for `variable`."""
    return any(_index(one, variable) is not None for one in nested(optimizer))


def fresh_slots(optimizer, variable):
    """All that `optimizer` keeps for `variable`, weight for weight: `[(slot, fresh)]`, with what
    the slot is for a weight that was never trained and is zero.

    Raises:
        ValueError: it keeps something else, or something of which that is not known.
    """
    found = []
    for one in nested(optimizer):
        known = _fresh_of(one)
        index = _index(one, variable)
        if known is None and (index is not None or not one.built):
            _refuse(one, "an optimizer of which that is not known")
        if index is None:
            continue
        for owner, name, slot in slots_of(one, variable):
            if owner is not one:
                continue
            if name not in known or slot.shape != variable.shape:
                _refuse(one, f"one that keeps {name!r} of shape {tuple(slot.shape)}")
            fresh = known[name]
            found.append((slot, getattr(one, fresh) if isinstance(fresh, str) else fresh))
    return found


def check_slots(optimizer, variable):
    """Raises what `fresh_slots` raises, also before `optimizer` is built: then a copy of it is, for
    a small variable.
    """
    fresh_slots(optimizer, variable)
    if not optimizer.built:
        try:
            copy = type(optimizer).from_config(optimizer.get_config())
        except Exception:  # an optimizer of somebody's own without a config: seen at the first step
            return
        copy.fresh_slots = getattr(optimizer, "fresh_slots", {})
        small = keras.Variable(np.zeros((2, 2, 2), "float32"))
        copy.build([small])
        fresh_slots(copy, small)


def moving_averages(optimizer, variable):
    """The averages of `variable` kept under `use_ema`, and those of an `AveragedSGD`; none before
    the optimizer is built.
    """
    found = []
    for one in nested(optimizer):
        index, lists = _index(one, variable), [private_keras.moving_averages(one)]
        if isinstance(one, AveragedSGD) and one.built:
            lists.append(one.averages)
        found += [each[index] for each in lists if index is not None and each]
    return [average for average in found if average is not None]


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


def _fresh_of(optimizer):
    """What is known of the slots of `optimizer`, by their names; None if it is another one. One
    that only holds others keeps nothing itself.
    """
    if hasattr(optimizer, "inner_optimizer") or hasattr(optimizer, "optimizers"):
        return FRESH_OF_ALL
    own = getattr(optimizer, "fresh_slots", {})
    for name, slots in FRESH.items():
        if isinstance(optimizer, getattr(keras.optimizers, name, ())):
            return {**FRESH_OF_ALL, **slots, **own}
    return {**FRESH_OF_ALL, **own} if own else None


def _refuse(optimizer, what):
    raise ValueError(
        "The optimizer must keep for each weight what a new one can begin with: "
        f"{', '.join(FRESH)} do, and one of your own that says so in `fresh_slots`, a dict from "
        f"the names of its slots to numbers. Received: {type(optimizer).__name__}, {what}"
    )
