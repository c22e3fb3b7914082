"""The kernels that follow one schedule, and the masks that it asks for."""

import numpy as np

from keras_sparse_rnn import criteria
from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.pruning.notices import Warner
from keras_sparse_rnn.pruning.parts import Parts
from keras_sparse_rnn.schedules import ThresholdRamp
from keras_sparse_rnn.slots import trained_by


class PruningGroup:
    """Kernels that are pruned by one schedule.

    Args:
        schedule: a `Schedule`.
        masks: list of `KernelMask`.
        options: the `Options` of pruning.
        model: the model that they are in.
        scope: `"gate"`, `"kernel"` or `"model"`: over what the sparsity is reached, and weights are
            compared.
    """

    def __init__(self, schedule, masks, options, model, *, scope):
        self.schedule, self.masks, self.model = schedule, masks, model
        self.criterion, self.frequency = options.criterion, options.frequency
        self.scope, self.parts = scope, Parts(masks, scope, options.minimum_density)
        self.point, self.optimizer = None, options.optimizer
        self._warner = Warner(self)

    @property
    def is_ramp(self):
        """Whether the schedule asks for a threshold, and not for a sparsity."""
        return isinstance(self.schedule, ThresholdRamp)

    def check(self):
        """Raises a `ValueError` if the schedule asks for what these kernels cannot give."""
        if not self.is_ramp:
            self._drop([np.zeros(mask.grid.shape) for mask in self.masks], self._last())
            return
        if getattr(self.criterion, "norm", None) != "max":
            raise ValueError(
                "`criterion` must be 'max' with a ThresholdRamp, whose threshold is compared "
                "with the largest weight of a block. Received: "
                f"criterion={getattr(self.criterion, 'norm', self.criterion)!r}"
            )
        self._thresholds(self._last())

    def begin(self, step):
        """Which blocks live at the first step of a run, from the weights as they are: list of
        arrays, one for each kernel.

        A run that is resumed finds its mask in the weights. Asking once more for the sparsity of
        the last trigger changes nothing if it was reached, and reaches it if the weights were saved
        before it was. A threshold, in contrast, must not be asked for twice: the weights have
        moved.
        """
        self.point = self.schedule.last_trigger(step, self.frequency)
        fired_before = self.point is not None and step > 0
        for mask in self.masks:
            mask.live = mask.pattern(fired_before)
        lives = [mask.live for mask in self.masks]
        if self.point is None:
            return lives
        if self.is_ramp and fired_before:
            too_late = step >= self.schedule.end_step and all(live.all() for live in lives)
            return self.choose(self.point) if too_late else lives
        return self.choose(self.point)

    def update(self, step):
        """Which blocks live from `step` on, or `None` if no trigger has come since the last
        call.
        """
        point = self.schedule.last_trigger(step, self.frequency)
        if point is None or point == self.point:
            return None
        lives = self.choose(point)
        self.point = point
        return lives

    def choose(self, point):
        """Which blocks the schedule lets live at the trigger `point`; changes nothing.

        Warns:
            UserWarning: for the first time, a kernel keeps blocks only because a gate or kernel
                must not lose its last; or a gate of a recurrent kernel has none left.
        """
        with trained_by(self.optimizer):
            lives, held = self._chosen(point)
        self._warner.held(lives, held, point)
        self._warner.emptied(lives)
        return lives

    def shortfalls(self):
        """What is wrong with the weights: sentences that name the kernel, the sparsity asked for
        and what there is.
        """
        found = [mask.grid.live(mask.kernel.numpy()) for mask in self.masks]
        wrong = []
        for mask, live in zip(self.masks, found):
            back, gone = (live & ~mask.live).any(), (mask.live & ~live).any()
            if back and gone:  # of a step before blocks were exchanged
                wrong.append(f"{mask.name} has other live blocks than its mask")
            elif back:
                asked = mask.grid.sparsity(mask.live)
                wrong.append(_shortfall(mask.name, asked, mask.grid.sparsity(live)))
        if wrong or self.point is None or self.is_ramp:
            return wrong
        asked = self.sparsity(self.point)
        for name, places in self.parts.short(found, asked):
            live, elements = self.parts.gather(found, places), self.parts.elements(places)
            # Short because only last blocks are left is what was asked; then asking again drops
            # nothing.
            again = self.parts.keep(np.zeros(live.shape), live, places, asked)
            if not np.array_equal(again, live):
                wrong.append(_shortfall(name, asked, elements[~live].sum() / elements.sum()))
        return wrong

    def unfinished(self, step):
        """What the schedule was still to do when training ended at `step`: a sentence, or None."""
        last = self._last()
        if step >= last:
            return None
        there = sum(mask.dead for mask in self.masks) / sum(mask.elements for mask in self.masks)
        names = ", ".join(mask.name for mask in self.masks)
        goal = "its last threshold" if self.is_ramp else f"{self.sparsity(last):.4f}"
        return (
            f"the schedule reaches {goal} at step {last} (the sparsity is {there:.4f} now, of "
            f"{names})"
        )

    def sparsity(self, point):
        """What the schedule asks for at `point`."""
        return check_sparsity(self.schedule(point), "schedule(step)")

    def _last(self):
        """The step after which the schedule asks for nothing more; of one that never ends, that at
        which it begins.
        """
        end = self.schedule.end_step
        return self.schedule.begin_step if end is None else end

    def _chosen(self, point):
        """Which blocks live at the trigger `point`, and the numbers of the kernels that keep more
        than was asked.
        """
        self.criterion.prepare([(mask.kernel, mask.grid) for mask in self.masks], self.model)
        scores = [self._scores(mask) for mask in self.masks]
        if self.is_ramp:
            return self._above(scores, point)
        lives = self._drop(scores, point)
        short = self.parts.short(lives, self.sparsity(point))
        return lives, {number for _, places in short for number, _ in places}

    def _thresholds(self, point):
        thresholds = self.schedule.thresholds(point, [mask.name for mask in self.masks])
        for mask, threshold in zip(self.masks, thresholds):
            if threshold.size not in (1, mask.grid.gates):
                raise ValueError(
                    f"`start_slope` must be one number or one for each gate: {mask.name} has "
                    f"{mask.grid.gates} gates. Received: {threshold.size} slopes"
                )
        return thresholds

    def _scores(self, mask):
        try:
            return criteria.scores_of(self.criterion, mask.kernel, mask.grid, self.model)
        except ValueError as error:
            raise ValueError(f"No mask can be taken from {mask.name}. {error}") from None

    def _drop(self, scores, point):
        sparsity, parts = self.sparsity(point), self.parts
        lives = [mask.live.copy() for mask in self.masks]
        for name, places in parts:
            row, live = parts.gather(scores, places), parts.gather(lives, places)
            try:
                live = parts.keep(row, live, places, sparsity)
            except ValueError as error:
                raise ValueError(f"{name} cannot be pruned. {error}") from None
            parts.scatter(lives, places, live)
        return lives

    def _above(self, scores, point):
        """Which blocks reach the threshold, and the numbers of the kernels in which that were
        none.
        """
        lives, held = [], set()
        for number, (mask, threshold) in enumerate(zip(self.masks, self._thresholds(point))):
            whole = [(number, slice(None))]
            row = self.parts.gather(scores, whole)
            own = self.parts.gather([one.live for one in self.masks], whole)
            protected = self.parts.protected(row, own, whole).reshape(mask.grid.shape)
            live = mask.live & (protected | (scores[number] >= threshold.reshape(-1, 1, 1)))
            families = mask.grid.gates if self.scope == "gate" else 1
            candidates = np.where(mask.live, scores[number], -1.0).reshape(families, -1)
            largest = candidates.shape[1] - 1 - candidates[:, ::-1].argmax(axis=1)
            empty = ~live.reshape(families, -1).any(axis=1) & (candidates >= 0).any(axis=1)
            live.reshape(families, -1)[empty, largest[empty]] = True
            held |= {number} if empty.any() else set()
            lives.append(live)
        return lives, held


def _shortfall(name, asked, there):
    return f"{name} should have a sparsity of {asked:.4f} and has {there:.4f}"
