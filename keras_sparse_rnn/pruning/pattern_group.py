"""Kernels that follow one schedule up to a pattern."""

from keras_sparse_rnn.pruning.group import PruningGroup

TOLERANCE = 1e-6  # of the sparsity of a pattern


class PatternGroup(PruningGroup):
    """A `PruningGroup` whose schedule ends at the `pattern` of its options: what the pattern keeps
    is protected on the way, and all else is dropped at the end.
    """

    def __init__(self, schedule, masks, options, model, *, scope):
        super().__init__(schedule, masks, options, model, scope=scope)
        self.pattern = options.pattern

    def check(self):
        if self.is_ramp:
            raise ValueError(
                "`pattern` needs a schedule that asks for a sparsity. Received: a ThresholdRamp"
            )
        last = self.sparsity(self._last())
        if not self._is_reached(last):
            raise ValueError(
                f"`schedule` must end at the sparsity of the pattern, {self.pattern.sparsity:.6g}, "
                f"or {self.pattern!r} is not reached. Received: a schedule that ends at {last:.6g}"
            )

    def sparsity(self, point):
        asked, most = super().sparsity(point), self.pattern.sparsity
        if asked > most + TOLERANCE:
            raise ValueError(
                f"`schedule` must not ask for more than the sparsity of the pattern, {most:.6g} of "
                f"{self.pattern!r}. Received: {asked:.6g} at step {point}"
            )
        return min(asked, most)

    def _is_reached(self, sparsity):
        return sparsity >= self.pattern.sparsity - TOLERANCE

    def _drop(self, scores, point):
        for mask, own in zip(self.masks, scores):
            mask.protected = self.pattern.kept(own, mask.live)
        lives = super()._drop(scores, point)
        if self._is_reached(self.sparsity(point)):
            # Exactly, also where weights that were zero by themselves have been counted.
            lives = [live & mask.protected for live, mask in zip(lives, self.masks)]
        return lives
