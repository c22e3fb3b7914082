"""Fine-tuning that leaves zero what is zero."""

import keras
import numpy as np

from keras_sparse_rnn.callbacks.configs import deserialize_selector, serialize_selector
from keras_sparse_rnn.pruning import notices
from keras_sparse_rnn.pruning.groups import trainable_kernels
from keras_sparse_rnn.pruning.mask_holder import MaskHolder, named
from keras_sparse_rnn.pruning.masks import KernelMask, MaskConstraint
from keras_sparse_rnn.pruning.unit_masks import BiasMask
from keras_sparse_rnn.selection import as_selectors


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class KeepMasks(MaskHolder):
    """Keeps the zeros of a pruned model while it is trained on: for fine-tuning, on other data too.

        model.fit(x, y, epochs=3, callbacks=[ksr.callbacks.KeepMasks()])

    Without it, or `BlockPruning`, training fills the pruned blocks of a Keras layer again: they are
    ordinary weights, and an optimizer moves them. Whatever weight of a kernel is zero when training
    begins stays zero; no schedule, no block shape and no steps are needed. A kernel that is all
    zero or a multiple of the identity has not been pruned but initialized so, and is left alone.

    Units of recurrent layers that are dead when training begins, with neither a weight into them
    nor a bias, as `UnitPruning` leaves them, get no bias either: `remove_dead_units` can still take
    them out. (Other biases are free to learn.)

    `BlockPruning` keeps the zeros of the layers that it prunes by itself; beside one, this callback
    keeps those of the others.

    `logs` get `"sparsity"`, as with `BlockPruning`.

    Args:
        layers: the layers whose kernels are kept, as in `BlockPruning`; `None`: all recurrent ones.

    Raises:
        ValueError: when training begins, the model has no such layer, or none of their weights is
            zero.
        RuntimeError: when training ends, weights that were zero are not: steps have not heeded the
            masks.

    Warns:
        UserWarning: after the last step, something else has filled them.
    """

    task = "its zeros are kept"
    counts_steps = False
    yields = True

    def __init__(self, layers=None):
        super().__init__()
        if layers is not None:
            as_selectors(layers)
        self.layers = layers
        self._are_known = False

    @property
    def masks(self):
        """Which weights are kept zero: bool `[inputs, gates * units]`, False there, by the name of
        the kernel; and biases of dead units, by that of the bias.
        """
        return {mask.name: mask.grid.expand(mask.live) for mask in self._held}

    def find(self):
        kernels = trainable_kernels(self.model, self.layers, "kept sparse")
        masks = [KernelMask(one, (1, 1)) for one in kernels if not self._is_masked(one)]
        for mask in masks:
            mask.live = mask.pattern(False)
        sparse = [mask for mask in masks if not mask.live.all()]
        if not sparse and len(masks) == len(kernels):
            raise ValueError(
                "The model must have been pruned before its zeros can be kept: no weight of its "
                f"kernels is zero. Received: the model {self.model.name!r}, "
                f"layers={self.layers!r}. "
                "Prune it with ksr.callbacks.BlockPruning, or at once with ksr.prune(model)"
            )
        return sparse + [mask for mask in _biases(sparse) if not mask.live.all()]

    def find_again(self):
        """The zeros of before: what came in between may have filled them."""
        return self._held

    def install(self, found):
        self._are_known = found is self._held
        self.hold(found)

    def begin_run(self, step):
        held = [mask for mask in self._held if mask.is_in_place]
        self._held = [mask for mask in held if _has_its_kernels(mask, held)]
        for mask in held:
            if mask not in self._held:  # another callback has the kernel, and may let units live
                mask.restore()
        super().begin_run(step)
        known = self._are_known
        self.apply([(mask, mask.live if known else mask.pattern(False)) for mask in self._held])

    def finish(self):
        """Raises a `RuntimeError` if what was zero is not because steps did not heed the masks;
        warns if something else has filled it.
        """
        wrong = []
        for mask in self._held:
            filled = (mask.kernel.numpy() != 0) & ~mask.grid.expand(mask.live)
            if filled.any():
                wrong.append(
                    f"{mask.name} should have {mask.dead} zeros, and {np.count_nonzero(filled)} of "
                    "them are weights again"
                )
        self.tell(wrong, notices.FILLED)

    def named_kernels(self):
        return named([mask for mask in self._held if not isinstance(mask, BiasMask)])

    def get_config(self):
        return {"layers": serialize_selector(self.layers)}

    @classmethod
    def from_config(cls, config):
        return cls(deserialize_selector(config["layers"]))

    def _is_masked(self, kernel):
        """Whether another callback of this training masks the kernel."""
        there = kernel.variable.constraint
        if not isinstance(there, MaskConstraint) or there.participant is self:
            return False
        return self.training.in_fit and self.training.is_same(there.training)


def _biases(masks):
    """The `BiasMask`s of the recurrent layers of which all kernels are under `masks`."""
    layers = {}
    for mask in masks:
        layers.setdefault(id(mask.kernel.cell), []).append(mask.kernel)
    found = []
    for kernels in layers.values():
        bias = getattr(kernels[0].cell, "bias", None)
        if len(kernels) == 2 and isinstance(bias, keras.Variable) and bias.trainable:
            mask = BiasMask(kernels, bias)
            mask.live = mask.pattern(False)
            found.append(mask)
    return found


def _has_its_kernels(mask, held):
    """Whether the kernels that a `BiasMask` goes with are under masks, too."""
    there = {id(one.kernel.variable) for one in held}
    return all(id(one.variable) in there for one in getattr(mask, "kernels", ()))
