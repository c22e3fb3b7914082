import math

from experiments.common import search


def test_what_diverges_is_worse_than_anything():
    errors = {3: math.nan, 2: 2.0, 1: 3.0}
    assert search.best_of(errors) == 2
    assert search.descend(errors.get, (1, 2, 3), 2, strides=(1,), ways=(1, -1)).keys() == {1, 2, 3}
    assert search.best_of(search.descend(errors.get, (1, 2, 3), 3, strides=(1,))) == 2


def test_ways_are_gone_one_after_the_other():
    asked = []

    def error(value):
        asked.append(value)
        return abs(value - 2)

    search.descend(error, (1, 2, 3, 4), 3, strides=(1,), ways=(1, -1))
    assert asked == [3, 4, 2, 1]
