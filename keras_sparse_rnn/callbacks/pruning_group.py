"""The kernels that follow one schedule, and the masks that it asks for."""

import math
import warnings

import numpy as np

from keras_sparse_rnn import criteria
from keras_sparse_rnn.patterns import check_sparsity, keep_largest, missing
from keras_sparse_rnn.schedules import ThresholdRamp


class PruningGroup:
    """Kernels that are pruned by one schedule.

    Args:
        schedule: a `Schedule`.
        kernels: list of `MaskedKernel`.
        criterion: the `Criterion` that scores the blocks.
        model: the model that they are in.
        scope: `"gate"`, `"kernel"` or `"model"`: over what the sparsity is reached, and weights are
            compared.
        frequency: steps between two masks.
        floor: the fraction of its blocks that each gate keeps.
    """

    def __init__(self, schedule, kernels, criterion, model, *, scope, frequency, floor):
        self.schedule, self.kernels, self.criterion, self.model = (
            schedule,
            kernels,
            criterion,
            model,
        )
        self.scope, self.frequency, self.floor = scope, frequency, floor
        self.point = None
        self._told = set()

    def check(self):
        """Raises a `ValueError` if the schedule asks for what these kernels cannot give."""
        last = self._last()
        if isinstance(self.schedule, ThresholdRamp):
            if getattr(self.criterion, "norm", None) != "max":
                raise ValueError(
                    "`criterion` must be 'max' with a ThresholdRamp, whose threshold is compared "
                    "with the largest weight of a block. Received: "
                    f"criterion={getattr(self.criterion, 'norm', self.criterion)!r}"
                )
            self._thresholds(last)
            return
        self._drop([np.zeros(kernel.grid.shape) for kernel in self.kernels], last)

    def begin(self, step):
        """The masks at the first step of a run, from the weights as they are: list of arrays, one
        for each kernel.

        A run that is resumed finds its mask in the weights. Asking once more for the sparsity of
        the last trigger changes nothing if it was reached, and reaches it if the weights were saved
        before it was. A threshold, in contrast, must not be asked for twice: the weights have
        moved.
        """
        self.point = self.schedule.last_trigger(step, self.frequency)
        fired_before = self.point is not None and step > 0
        for kernel in self.kernels:
            kernel.live = kernel.pattern(fired_before)
        masks = [kernel.live for kernel in self.kernels]
        if self.point is None:
            return masks
        if isinstance(self.schedule, ThresholdRamp) and fired_before:
            too_late = step >= self.schedule.end_step and all(live.all() for live in masks)
            return self.choose(self.point) if too_late else masks
        return self.choose(self.point)

    def update(self, step):
        """The masks that are due at `step`, or `None` if no trigger has come since the last
        call.
        """
        point = self.schedule.last_trigger(step, self.frequency)
        if point is None or point == self.point:
            return None
        masks = self.choose(point)
        self.point = point
        return masks

    def choose(self, point):
        """The masks that the schedule asks for at the trigger `point`; changes nothing.

        Warns:
            UserWarning: for the first time, a kernel keeps blocks only because a gate or kernel
                must not lose its last.
        """
        self.criterion.prepare(
            [(kernel.kernel, kernel.grid) for kernel in self.kernels], self.model
        )
        scores = [self._scores(kernel) for kernel in self.kernels]
        if isinstance(self.schedule, ThresholdRamp):
            masks, held = self._above(scores, point)
        else:
            masks = self._drop(scores, point)
            held = {number for _, indices in self._short(masks, point) for number, _ in indices}
        self._tell(masks, held, point)
        return masks

    def shortfalls(self):
        """What is wrong with the weights: sentences that name the kernel, the sparsity asked for
        and what there is.
        """
        found = [kernel.grid.live(kernel.kernel.numpy()) for kernel in self.kernels]
        wrong = []
        for kernel, live in zip(self.kernels, found):
            if (live & ~kernel.live).any():
                asked, there = kernel.grid.sparsity(kernel.live), kernel.grid.sparsity(live)
                wrong.append(
                    f"{kernel.name} should have a sparsity of {asked:.4f} and has {there:.4f}"
                )
        if not wrong and self.point is not None and not isinstance(self.schedule, ThresholdRamp):
            asked = self._sparsity(self.point)
            for name, indices in self._short(found, self.point):
                live, elements = (
                    self._gather(found, indices),
                    self._gather(self._elements(), indices),
                )
                # Short because only last blocks are left is what was asked; then asking again drops
                # nothing.
                if not np.array_equal(self._keep(np.zeros(live.shape), live, indices, asked), live):
                    there = elements[~live].sum() / elements.sum()
                    wrong.append(
                        f"{name} should have a sparsity of {asked:.4f} and has {there:.4f}"
                    )
        return wrong

    def unfinished(self, step):
        """What the schedule was still to do when training ended at `step`: one sentence, or
        none.
        """
        last = self._last()
        if step >= last:
            return []
        total = sum(elements.sum() for elements in self._elements())
        dead = sum(kernel.grid.elements[~kernel.live].sum() for kernel in self.kernels)
        names = ", ".join(kernel.name for kernel in self.kernels)
        goal = (
            "its last threshold"
            if isinstance(self.schedule, ThresholdRamp)
            else f"{self._sparsity(last):.4f}"
        )
        return [
            f"the schedule reaches {goal} at step {last} (the sparsity is {dead / total:.4f} "
            f"now, of {names})"
        ]

    def _last(self):
        """The step after which the schedule asks for nothing more; of one that never ends, that at
        which it begins.
        """
        return (
            self.schedule.begin_step if self.schedule.end_step is None else self.schedule.end_step
        )

    def _sparsity(self, point):
        return check_sparsity(self.schedule(point), "schedule(step)")

    def _thresholds(self, point):
        thresholds = self.schedule.thresholds(point, [kernel.name for kernel in self.kernels])
        for kernel, threshold in zip(self.kernels, thresholds):
            if threshold.size not in (1, kernel.grid.gates):
                raise ValueError(
                    f"`start_slope` must be one number or one for each gate: {kernel.name} has "
                    f"{kernel.grid.gates} gates. Received: {threshold.size} slopes"
                )
        return thresholds

    def _scores(self, kernel):
        try:
            return criteria.scores_of(self.criterion, kernel.kernel, kernel.grid, self.model)
        except ValueError as error:
            raise ValueError(f"No mask can be taken from {kernel.name}. {error}") from None

    def _drop(self, scores, point):
        sparsity = self._sparsity(point)
        masks = [kernel.live.copy() for kernel in self.kernels]
        for name, indices in self._parts():
            try:
                live = self._keep(
                    self._gather(scores, indices), self._gather(masks, indices), indices, sparsity
                )
            except ValueError as error:
                raise ValueError(f"{name} cannot be pruned. {error}") from None
            self._scatter(masks, indices, live)
        return masks

    def _keep(self, scores, live, indices, sparsity):
        protected, owners = self._protected(scores, live, indices), self._owners(indices)
        elements = self._gather(self._elements(), indices)
        return keep_largest(
            scores, elements, sparsity, live=live, protected=protected, owners=owners
        )

    def _protected(self, scores, live, indices):
        """Which of the blocks at `indices` must not be dropped: those of the diagonal, and the best
        live ones of each gate, up to the floor.
        """
        protected = self._gather([kernel.protected for kernel in self.kernels], indices)
        if self.floor:
            start = 0
            for number, gates in indices:
                for part in np.empty(self.kernels[number].grid.shape)[gates]:
                    own = slice(start, start + part.size)
                    ranked = np.argsort(np.where(live[own], scores[own], -np.inf), kind="stable")[
                        ::-1
                    ]
                    protected[own.start + ranked[: math.ceil(self.floor * part.size)]] = True
                    start += part.size
        return protected

    def _owners(self, indices):
        return self._gather(
            [np.full(k.grid.shape, number) for number, k in enumerate(self.kernels)], indices
        )

    def _above(self, scores, point):
        """The masks of the blocks that reach the threshold, and the numbers of the kernels in which
        that were none.
        """
        masks, held = [], set()
        for number, (kernel, threshold) in enumerate(zip(self.kernels, self._thresholds(point))):
            whole = [(number, slice(None))]
            protected = self._protected(
                self._gather(scores, whole),
                self._gather([k.live for k in self.kernels], whole),
                whole,
            )
            mask = kernel.live & (
                protected.reshape(kernel.grid.shape)
                | (scores[number] >= threshold.reshape(-1, 1, 1))
            )
            owners = kernel.grid.gates if self.scope == "gate" else 1
            candidates = np.where(kernel.live, scores[number], -1.0).reshape(owners, -1)
            largest = candidates.shape[1] - 1 - candidates[:, ::-1].argmax(axis=1)
            empty = ~mask.reshape(owners, -1).any(axis=1) & (candidates >= 0).any(axis=1)
            mask.reshape(owners, -1)[empty, largest[empty]] = True
            held |= {number} if empty.any() else set()
            masks.append(mask)
        return masks, held

    def _short(self, masks, point):
        """Yields those of `_parts` of which `masks` drop less than the schedule asks for at
        `point`.
        """
        asked = self._sparsity(point)
        for name, indices in self._parts():
            short, tolerance = missing(
                self._gather(masks, indices), self._gather(self._elements(), indices), asked
            )
            if short > tolerance:
                yield name, indices

    def _tell(self, masks, held, point):
        """Warns of the kernels numbered `held`, once of each."""
        owner = "gate" if self.scope == "gate" else "kernel"
        ramp = isinstance(self.schedule, ThresholdRamp)
        texts = []
        for number in sorted(held - self._told):
            grid, name = self.kernels[number].grid, self.kernels[number].name
            asked = (
                f"has a {owner} below its threshold"
                if ramp
                else f"should be {self._sparsity(point):.4f} sparse"
            )
            where = "each gate has" if grid.gates > 1 else "it has"
            blocks = f"{where} {grid.columns * grid.rows} blocks"
            texts.append(
                f"{name} {asked} and is {grid.sparsity(masks[number]):.4f} sparse ({blocks})"
            )
        self._told |= held
        if texts:
            scope = {
                "gate": "scope='kernel' or 'model', ",
                "kernel": "scope='model', ",
                "model": "",
            }[self.scope]
            warnings.warn(
                f"Pruning stops at the last block of a {owner}, which would be all zero without "
                f"it: {'; '.join(texts)}. Use smaller blocks than "
                f"{self.kernels[0].grid.block_shape}, "
                f"{scope}{'smaller slopes' if ramp else 'less sparsity'} for this layer, or leave "
                "it out with `layers`.",
                stacklevel=2,
            )

    def _elements(self):
        return [kernel.grid.elements for kernel in self.kernels]

    def _parts(self):
        """Yields `(name, [(kernel number, gates), ...])` of what is pruned to the sparsity by
        itself.
        """
        everything = slice(None)
        if self.scope == "model":
            yield "the model", [(number, everything) for number in range(len(self.kernels))]
            return
        for number, kernel in enumerate(self.kernels):
            if self.scope == "kernel" or kernel.grid.gates == 1:
                yield kernel.name, [(number, everything)]
                continue
            for gate, gate_name in enumerate(kernel.kernel.gate_names):
                yield f"{kernel.name}, gate {gate_name},", [(number, slice(gate, gate + 1))]

    @staticmethod
    def _gather(arrays, indices):
        return np.concatenate([np.ravel(arrays[number][gates]) for number, gates in indices])

    @staticmethod
    def _scatter(arrays, indices, values):
        """The inverse of `_gather`: writes `values` into `arrays`."""
        for number, gates in indices:
            part = arrays[number][gates]
            arrays[number][gates] = values[: part.size].reshape(part.shape)
            values = values[part.size :]
