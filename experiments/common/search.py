"""The least of an error over one setting or several, found from where one begins."""

import math


def search(error, start, moves):
    """Goes each way, one after the other, from the best so far and as long as that brings less.

    Args:
        error: function of a value; NaN where the training diverges, which is worse than anything.
        start: the first value.
        moves: functions of a value: the next one their way, or None where there is none.

    Returns:
        dict of all values that were tried, rising, to their errors.
    """
    errors = {start: error(start)}
    for move in moves:
        while (value := move(best_of(errors))) is not None and value not in errors:
            errors[value] = error(value)
    return dict(sorted(errors.items()))


def descend(error, grid, start, strides=(2, 1), ways=(-1, 1)):
    """`search` along a grid.

    Args:
        error: as in `search`.
        grid: rising values.
        start: one of them.
        strides: of how many places the steps are: first of the first stride, then, from the best
            that these have found, of the next.
        ways: -1: to lower values; 1: to higher ones.
    """

    def along(step):
        def move(value):
            place = grid.index(value) + step
            return grid[place] if 0 <= place < len(grid) else None

        return move

    return search(error, start, [along(way * stride) for stride in strides for way in ways])


def coordinates(error, start, ladders):
    """`descend` along one setting after the other, each from the best of those before it: first to
    higher values, then to lower ones.

    Args:
        error: function of all settings, a dict by their names.
        start: dict of the first values.
        ladders: dict of the names of settings, in the order in which they are searched, to rising
            values, of which the first value need not be one.

    Returns:
        dict of the best settings.
    """
    best = dict(start)
    for name, values in ladders.items():

        def along(value, name=name, best=best):
            return error({**best, name: value})

        grid = sorted({best[name], *values})
        found = descend(along, grid, best[name], strides=(1,), ways=(1, -1))
        best = {**best, name: best_of(found)}
    return best


def best_of(errors):
    """The value of the least error; of equal ones the first, NaN last."""
    return min(errors, key=lambda value: math.inf if math.isnan(errors[value]) else errors[value])
