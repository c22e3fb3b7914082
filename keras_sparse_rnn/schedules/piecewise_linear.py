"""Straight lines between given points."""

import keras

from keras_sparse_rnn.schedules.schedule import Schedule, check_number, check_order, check_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class PiecewiseLinear(Schedule):
    """A value that moves along straight lines from point to point; before the first and after the
    last it stands still.

    Two points at one step are a jump: the second holds from that step on. It is meant for
    `callbacks.StrengthSchedule`, where the value is what strengths are multiplied with:

    >>> until = PiecewiseLinear([(5000, 1.0), (5000, 0.0)])  # full strength to step 4999
    >>> [until(4999), until(5000)]
    [1.0, 0.0]
    >>> ramps = PiecewiseLinear([(0, 0.0), (1000, 1.0), (4000, 1.0), (5000, 0.0)])
    >>> [ramps(500), ramps(3000), ramps(4500)]
    [0.5, 1.0, 0.5]

    Args:
        points: list of `(step, value)`, the steps in order, the values at least 0. `BlockPruning`
            takes it too, with values below 1.

    Raises:
        ValueError: there is no point, an entry is no pair of a step and a number of at least 0, or
            the steps are not in order.
    """

    def __init__(self, points):
        valid = isinstance(points, (list, tuple)) and len(points) > 0
        if not valid or not all(
            isinstance(point, (list, tuple)) and len(point) == 2 for point in points
        ):
            raise ValueError(
                f"`points` must be a list of pairs (step, value). Received: points={points!r}"
            )
        self.points = [
            (check_step(step, f"points[{i}][0]"), check_number(value, f"points[{i}][1]", least=0))
            for i, (step, value) in enumerate(points)
        ]
        for i, ((before, _), (after, _)) in enumerate(zip(self.points, self.points[1:])):
            check_order(f"points[{i}][0]", before, f"points[{i + 1}][0]", after)
        self.begin_step, self.end_step = self.points[0][0], self.points[-1][0]

    def __call__(self, step):
        before = [point for point in self.points if point[0] <= step]
        after = [point for point in self.points if point[0] > step]
        if not before:
            return after[0][1]
        (first, value) = before[-1]
        if not after:
            return value
        (second, next_value) = after[0]
        return value + (next_value - value) * (step - first) / (second - first)

    def get_config(self):
        return {"points": [list(point) for point in self.points]}
