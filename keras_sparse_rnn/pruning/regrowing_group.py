"""Kernels that follow one schedule and in which dead blocks come back."""

import numpy as np

from keras_sparse_rnn.patterns.block import largest_of_each
from keras_sparse_rnn.pruning.group import PruningGroup

NEWBORN = 1e-6  # of the root mean square of the kernel's weights


class RegrowingGroup(PruningGroup):
    """A `PruningGroup` in which blocks come back by the `regrowth` of its options. Masks are taken
    until the later of the schedule's end and the regrowth's.
    """

    def __init__(self, schedule, masks, options, model, *, scope):
        super().__init__(schedule, masks, options, model, scope=scope)
        self.regrowth = options.regrowth
        self.until = schedule.end_step if self.regrowth.until is None else self.regrowth.until
        self._exchanged = self._due = None

    def check(self):
        if self.is_ramp:
            raise ValueError(
                "`regrowth` needs a schedule that asks for a sparsity. Received: a ThresholdRamp"
            )
        if self.until is None:
            raise ValueError(
                "`until` of a Regrowth must be given for a schedule that does not end. "
                f"Received: {self.schedule!r}"
            )
        masked = [
            mask.name
            for mask in self.masks
            if getattr(mask.kernel.layer, "storage", None) == "masked"
        ]
        if masked and self.regrowth.data is None:
            raise ValueError(
                '`data` of a Regrowth must be given for layers of storage="masked", which '
                "compute no gradients of dead blocks. "
                f"Received: data=None, for {', '.join(masked)}"
            )
        super().check()

    def why_idle(self):
        """Why no block ever comes back, in words; None if blocks do."""
        first = self.schedule.begin_step + (self.schedule.frequency or self.frequency)
        if self.until > first:
            return None
        what = "the schedule's end_step" if self.regrowth.until is None else "until"
        return (
            "`until` of a Regrowth must lie after the `begin_step` of the schedule and one "
            f"`frequency`, step {first}, or no block ever comes back. Received: {what}="
            f"{self.until}, for {', '.join(mask.name for mask in self.masks)}"
        )

    def begin(self, step):
        lives = super().begin(step)
        self._exchanged = self._exchange_trigger(step)
        return lives

    def update(self, step):
        point = self.schedule.last_trigger(step, self.frequency)
        trigger = self._exchange_trigger(step)
        due = trigger != self._exchanged
        if point is None or (point == self.point and not due):
            return None
        self._due = trigger if due else None
        try:
            lives = self.choose(point)
        finally:
            self._due = None
        self.point, self._exchanged = point, trigger
        return lives

    def unfinished(self, step):
        early = super().unfinished(step)
        if early is not None or step >= self.until:
            return early
        names = ", ".join(mask.name for mask in self.masks)
        return f"blocks come back up to step {self.until}, of {names}"

    def _exchange_trigger(self, step):
        """The last step up to `step` at which blocks were exchanged: every `frequency` after the
        first mask; None if there was none.
        """
        frequency, begin = self.schedule.frequency or self.frequency, self.schedule.begin_step
        count = (min(step, self.until) - begin) // frequency
        return begin + count * frequency if count > 0 else None

    def _drop(self, scores, point):
        lives = super()._drop(scores, point)
        if self._due is None:
            return lives
        parts, share = (
            self.parts,
            self.regrowth.share(self._due, self.schedule.begin_step, self.until),
        )
        gradients = self.regrowth.gradients(
            [mask.kernel.variable for mask in self.masks], self.model
        )
        worth = [
            mask.grid.split(gradient**2).sum(axis=(3, 4)) / mask.grid.elements
            for mask, gradient in zip(self.masks, gradients)
        ]
        for _, places in parts:
            scored, wanted, live = (parts.gather(each, places) for each in (scores, worth, lives))
            elements, families = parts.elements(places), parts.families(places)
            protected = parts.protected(scored, live, places)
            kept = _without_lowest(scored, elements, live, share, protected, families)
            asked, dropped = self.sparsity(point) * elements.sum(), elements[live & ~kept].sum()
            room = min(elements[~kept].sum() - asked, dropped + elements.max() / 2)
            parts.scatter(lives, places, _with_largest(wanted, elements, kept, room))
        for mask, gradient in zip(self.masks, gradients):
            scale = np.sqrt(np.mean(np.square(mask.kernel.numpy(), dtype=np.float64)))
            largest = max(np.abs(gradient).max(), np.finfo(float).tiny)
            mask.newborn = NEWBORN * scale * gradient / largest
        return lives


def _without_lowest(scores, elements, live, share, protected, families):
    """`live` without the blocks of the lowest scores that come nearest to `share` of its weights;
    each family keeps its best one.
    """
    order = np.argsort(scores, kind="stable")
    order = order[live[order]]
    best = largest_of_each(scores, np.flatnonzero(live), families, np.zeros(live.shape, bool))
    order = order[~protected[order] & ~np.isin(order, best)]
    kept = live.copy()
    kept[order[np.cumsum(elements[order]) <= share * elements[live].sum() + elements.max() / 2]] = (
        False
    )
    return kept


def _with_largest(worth, elements, live, room):
    """`live` and the dead blocks of the largest `worth` above zero, as many as come nearest to
    `room` weights.
    """
    order = np.argsort(-worth, kind="stable")
    order = order[~live[order] & (worth[order] > 0)]
    grown = live.copy()
    grown[order[np.cumsum(elements[order]) <= room + elements.max() / 2]] = True
    return grown
