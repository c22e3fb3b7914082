"""What a user is told when masks or weights are not what was meant."""

import warnings

FAILED = (
    "Pruning has failed: {}. The training step before step {} has changed the weights without "
    "applying their constraints: it does not use `optimizer.apply`, or was traced by tf.function "
    "before `on_train_begin`. A `train_step` that is a tf.function itself remembers how an earlier "
    "`fit` has traced it: leave the tf.function to Keras, or make the model anew and copy the "
    "weights."
)
UNFINISHED = (
    "Pruning is not finished: training ended at step {}, and {}. Train on, with another `fit` that "
    "has this callback, or let the schedule end sooner."
)
CHANGED = (
    "After the last step, something has changed the weights, which are not as sparse as was asked: "
    "{}. They are left as they are. EarlyStopping(restore_best_weights=True) does this, where the "
    "best epoch was one before the pruning was finished: use ksr.callbacks.EarlyStopping in its "
    "place, which looks only at epochs of the final sparsity. So does another model that trains "
    "the "
    "same layer"
)

FILLED = (
    "Zeros that were kept are filled when training ends: {}. The weights are left as they are. A "
    "callback that restores weights of before the model was pruned does this, a training step that "
    "does not use `optimizer.apply`, or another model that trains the same layer. Leave it out, "
    "and prune the model again with ksr.prune(model)"
)


class Warner:
    """Warns of the kernels of a group, of each once.

    Args:
        group: the `PruningGroup`.
    """

    def __init__(self, group):
        self.group = group
        self._held, self._emptied = set(), set()  # kernels, gates of kernels

    def held(self, lives, numbers, point):
        """Warns of the kernels with these numbers, which keep blocks at `point` only because a gate
        or kernel must not lose its last.
        """
        group = self.group
        whole = "gate" if group.scope == "gate" else "kernel"
        texts = []
        for number in sorted(numbers - self._held):
            grid, name = group.masks[number].grid, group.masks[number].name
            blocks = grid.columns * grid.rows
            if blocks == 1:
                continue  # a gate of one block: told when the blocks were cut
            asked = (
                f"has a {whole} below its threshold"
                if group.is_ramp
                else f"should be {group.sparsity(point):.4f} sparse"
            )
            each = "each gate has" if grid.gates > 1 else "it has"
            there = grid.sparsity(lives[number])
            texts.append(f"{name} {asked} and is {there:.4f} sparse ({each} {blocks} blocks)")
        self._held |= numbers
        if texts:
            wider = {
                "gate": "scope='kernel' or 'model', ",
                "kernel": "scope='model', ",
                "model": "",
            }[group.scope]
            less = "smaller slopes" if group.is_ramp else "less sparsity"
            warnings.warn(
                f"Pruning stops at the last block of a {whole}, which would be all zero without "
                f"it: {'; '.join(texts)}. Use smaller blocks than "
                f"{group.masks[0].grid.block_shape}, {wider}{less} for this layer, or leave it "
                "out with `layers`.",
                stacklevel=2,
            )

    def emptied(self, lives):
        """Warns of recurrent kernels that have a gate without a live block: it sees the inputs
        alone.
        """
        texts = []
        for number, (mask, live) in enumerate(zip(self.group.masks, lives)):
            if mask.kernel.role != "recurrent_kernel":
                continue
            empty = {(number, int(gate)) for gate in (~live.any(axis=(1, 2))).nonzero()[0]}
            if empty - self._emptied:
                names = ", ".join(mask.kernel.gate_names[gate] for _, gate in sorted(empty))
                texts.append(f"{mask.name}: {names} of {live.shape[0]} gates")
            self._emptied |= empty
        if texts:
            warnings.warn(
                "Gates have lost all blocks of their recurrent kernel and no longer see the state: "
                f"{'; '.join(texts)}. To keep some in each, use scope='gate', minimum_density=0.05 "
                f"or smaller blocks than {self.group.masks[0].grid.block_shape}.",
                stacklevel=2,
            )
