"""A participant that holds kernels under masks."""

import warnings

from keras_sparse_rnn.multi_worker.workers import check_same, from_chief
from keras_sparse_rnn.pruning import notices
from keras_sparse_rnn.pruning.masks import has_weights_outside, known_constraints
from keras_sparse_rnn.pruning.participant import Participant
from keras_sparse_rnn.selection import short_names


class MaskHolder(Participant):
    """What callbacks with masks share: the masks are put on, stay with the callback when training
    is over, and are found again by the next training.

    A subclass calls `hold` in its `install`.
    """

    yields = False  # whether another callback of the training may take a kernel over

    def __init__(self, optimizer=None):
        super().__init__(optimizer)
        self._held = []
        self._unwatched_since = None  # the step at which masks were taken, not looked at since
        self.was_bypassed = False

    def hold(self, masks):
        """Puts `masks`, a list of `KernelMask`, in place of those of an earlier training."""
        known = known_constraints(self.model, self._held)
        self._held, self.was_bypassed, self._unwatched_since = masks, False, None
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
        """Looks, at the first step after new masks, whether it has heeded them: one that does not
        apply constraints, or was traced before they were in place, brings pruned weights back.
        """
        if self._unwatched_since is not None and step > self._unwatched_since:
            self._unwatched_since = None
            self.was_bypassed |= any(
                has_weights_outside(mask.grid.expand(mask.live), mask.kernel.numpy())
                for mask in self._held
            )

    def tell(self, wrong, notice):
        """What a subclass has found in `finish`: raises a `RuntimeError` if steps did not heed the
        masks, else warns.

        Args:
            wrong: list of texts; nothing is said of an empty one.
            notice: of `notices`, for the warning.
        """
        if wrong and self.was_bypassed:
            raise RuntimeError(notices.FAILED.format("; ".join(wrong)))
        if wrong:
            warnings.warn(notice.format("; ".join(wrong)), stacklevel=3)

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
