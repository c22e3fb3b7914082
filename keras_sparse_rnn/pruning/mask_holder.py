"""A participant that holds kernels under masks."""

import warnings

from keras_sparse_rnn.multi_worker.workers import check_same, from_chief
from keras_sparse_rnn.pruning import notices
from keras_sparse_rnn.pruning.masks import has_weights_outside, known_constraints
from keras_sparse_rnn.pruning.participant import Participant, State
from keras_sparse_rnn.pruning.train_function import TrainFunction, figures
from keras_sparse_rnn.selection import short_names


class MaskHolder(Participant):
    """What callbacks with masks share: the masks are put on, stay with the callback when training
    is over, and are found again by the next training.

    A subclass calls `hold` in its `install`, and has

        wrong()           what is wrong with the weights: a list of texts
        unfinished(step)  what was still to come when training ended at `step`: a list of texts
    """

    yields = False  # whether another callback of the training may take a kernel over
    notice = notices.CHANGED  # of weights that are wrong when training has ended

    def __init__(self, optimizer=None):
        super().__init__(optimizer)
        self._held = []
        self._unwatched_since = None  # the step at which masks were taken, not looked at since
        self._told_unfinished = False

    @property
    def is_finished(self):
        """Whether its schedule, if it has one, asks for nothing more."""
        if self._steps is None or self._state is State.WAITING:
            return False
        return not self.unfinished(self._steps.count())

    def hold(self, masks):
        """Puts `masks`, a list of `KernelMask`, in place of those of an earlier training."""
        known = known_constraints(self.model, self._held)
        self._held, self._unwatched_since = masks, None
        for mask in masks:
            mask.install(self, self._steps.optimizers, self.training, known)

    def begin_run(self, step):
        """Reads the masks from the weights: by the first step, all restoring has been done."""
        weights = [mask.kernel.numpy() for mask in self._held]
        strategy = self.model.distribute_strategy
        check_same(weights, strategy, "The weights of the kernels that are pruned")

    def apply(self, chosen):
        """Applies new masks, once all have been chosen: if one cannot be, no weights change. All
        workers of a training on several machines take those of the chief.

        Args:
            chosen: list of `(KernelMask, live)`, `live` bool `[gates, columns, rows]`.
        """
        agreed = from_chief([live for _, live in chosen], self.model.distribute_strategy)
        for (mask, _), live in zip(chosen, agreed):
            mask.apply(live)
        if chosen:
            self._unwatched_since = self._steps.count()

    def after_step(self, step):
        """Raises a `RuntimeError` if the first step after new masks has not heeded them: one that
        does not apply constraints, or was traced before they were in place, brings pruned weights
        back.
        """
        if self._unwatched_since is not None and step > self._unwatched_since:
            self._unwatched_since = None
            if any(
                has_weights_outside(mask.grid.expand(mask.live), mask.kernel.numpy())
                for mask in self._held
            ):
                raise RuntimeError(notices.FAILED.format("; ".join(self.wrong()), step))

    def finish(self):
        """Warns if something has changed the weights after the last step, or more was still to
        come.
        """
        if wrong := self.wrong():
            warnings.warn(self.notice.format("; ".join(wrong)), stacklevel=2)
            return
        step = self._steps.count()
        early = self.unfinished(step)
        if early and not self._told_unfinished:
            self._told_unfinished = True  # in a loop of fits of one epoch, once is enough
            warnings.warn(notices.UNFINISHED.format(step, "; ".join(early)), stacklevel=2)

    def wrong(self):
        raise NotImplementedError

    def unfinished(self, step):
        """Nothing, unless a subclass has a schedule."""
        return []

    def write_logs(self, logs):
        if {"sparsity", *self.figures()} <= logs.keys():  # the training function has written them
            return
        current = TrainFunction.of(self.model)
        for name, value in figures([self] if current is None else current.participants).items():
            logs.setdefault(name, value)

    def traced(self):
        return tuple(mask.constraint for mask in self._held)

    def remove(self):
        for mask in self._held:
            mask.restore()

    def named_kernels(self):
        return named(self._held)

    def selects(self):
        """Which layers it selects, as it was told."""
        return f"layers={self.layers!r}"


def named(masks):
    """`[(short name of its kernel, mask)]`."""
    return list(zip(short_names([mask.kernel for mask in masks]), masks))
