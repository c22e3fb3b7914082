"""What callbacks take for a schedule: one, a number, or a mapping from layers to these."""

import weakref
from fractions import Fraction

from keras_sparse_rnn import schedules
from keras_sparse_rnn.selection import as_selectors
from keras_sparse_rnn.slots import batches_per_step, updates_made

# The epochs of the last `fit` of each optimizer, as `_epochs` returns them: another `fit` may have
# another callback.
_EPOCHS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def check_schedules(schedule, layers):
    """Raises a `ValueError` unless `schedule` is what `BlockPruning` takes, and `layers` goes with
    it.
    """
    if isinstance(schedule, dict):
        if layers is not None:
            raise ValueError(
                "`layers` must be None when `schedule` is a mapping, which names them. "
                f"Received: layers={layers!r}"
            )
        if not schedule:
            raise ValueError("`schedule` must have at least one entry. Received: schedule={}")
        for selector in schedule:
            if isinstance(selector, tuple):
                raise ValueError(
                    "`schedule` must have single selectors of layers as keys. Received: "
                    f"{selector!r}"
                )
            as_selectors(selector, "schedule")
    each_schedule(schedule)
    if layers is not None:
        as_selectors(layers)


def each_schedule(schedule):
    """The `Schedule`s of what was given, as a list."""
    if isinstance(schedule, dict):
        named = ((one, f"schedule[{selector!r}]") for selector, one in schedule.items())
        return [schedules.get(one, name, numbers=True) for one, name in named]
    return [schedules.get(schedule, numbers=True)]


def check_frequency(frequency, schedule):
    """Raises a `ValueError` if no schedule would heed `frequency`, for each has another of its
    own.
    """
    own = [one.frequency for one in each_schedule(schedule)]
    if frequency is not None and None not in own and frequency not in own:
        raise ValueError(
            "`frequency` must be None, or that of the schedule, where a schedule has its own. "
            f"Received: frequency={frequency}, and {own[0]} in the schedule"
        )


def bound(schedule, params, optimizer):
    """`schedule` with the number of steps of an epoch: `fit` tells callbacks the number of batches,
    and `optimizer` may take several to a step. After a `fit` with other batches it goes on at the
    epoch that `optimizer` has come to.
    """
    batches = (params or {}).get("steps")
    epochs = _epochs(Fraction(batches, batches_per_step(optimizer)), optimizer) if batches else ()
    if isinstance(schedule, dict):
        return {selector: _bound(one, epochs) for selector, one in schedule.items()}
    return _bound(schedule, epochs)


def _bound(schedule, epochs):
    one = schedules.get(schedule, numbers=True)
    return one.bound(*epochs) if epochs and hasattr(one, "bound") else one


def _epochs(steps_per_epoch, optimizer):
    """`(steps_per_epoch, first_step)`, with the step at which the epochs would have begun if all
    had had so many steps.
    """
    step, first = updates_made(optimizer), 0
    if step and optimizer in _EPOCHS:
        before, first = _EPOCHS[optimizer]
        if before != steps_per_epoch:
            first = step - (step - first) / before * steps_per_epoch
    _EPOCHS[optimizer] = steps_per_epoch, first
    return steps_per_epoch, first
