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

    Beside a `BlockPruning` or `UnitPruning` of the same layers, which drop more of them, a weight
    stays zero if either says so: in larger blocks, or in units that live, single zeros stay, too.
    (In a loop of your own call this one first.) What has a `Regrowth` is left to its callback.

    `logs` get `"sparsity"`, as with `BlockPruning`.

    Args:
        layers: the layers whose kernels are kept, as in `BlockPruning`; `None`: all recurrent ones.

    Raises:
        ValueError: when training begins, the model has no such layer, or none of their weights is
            zero, or `layers` select what another callback has with a `Regrowth`, which lets zeros
            live.
        RuntimeError: after the first step, weights that were zero are not: it has not heeded the
            masks.

    Warns:
        UserWarning: after the last step, something else has filled them.
    """

    task = "its zeros are kept"
    counts_steps = False
    yields = True
    notice = notices.FILLED

    def __init__(self, layers=None):
        super().__init__()
        if layers is not None:
            as_selectors(layers)
        self.layers = layers
        self._shared = []  # masks of what other callbacks of the training have masked themselves
        self._are_known = False

    @property
    def masks(self):
        """Which weights are kept zero: bool `[inputs, gates * units]`, False there, by the name of
        the kernel; and biases of dead units, by that of the bias.
        """
        return {mask.name: mask.grid.expand(mask.live) for mask in self._held + self._shared}

    def find(self):
        kernels = trainable_kernels(self.model, self.layers, "kept sparse")
        masks = [KernelMask(one, (1, 1)) for one in kernels]
        for mask in masks:
            mask.live = mask.pattern(False)
        sparse = [mask for mask in masks if not mask.live.all()]
        if not sparse and not any(self._is_masked(mask) for mask in masks):
            raise ValueError(
                "The model must have been pruned before its zeros can be kept: no weight of its "
                f"kernels is zero. Received: the model {self.model.name!r}, "
                f"layers={self.layers!r}. "
                "Prune it with ksr.callbacks.BlockPruning, or at once with ksr.prune(model)"
            )
        return sparse + [mask for mask in _biases(sparse) if not mask.live.all()], False

    def find_again(self):
        """The zeros of before: what came in between may have filled them."""
        return self._held + self._shared, True

    def install(self, found):
        masks, self._are_known = found
        self._shared = [mask for mask in masks if self._is_masked(mask)]
        self.hold([mask for mask in masks if mask not in self._shared])

    def begin_run(self, step):
        super().begin_run(step)
        masks = self._held + self._shared
        lives = [mask.live if self._are_known else mask.pattern(False) for mask in masks]
        for mask, live in zip(masks, lives):
            mask.live = live
        self._share()
        self.apply([(mask, mask.live) for mask in self._held])

    def before_step(self, step):
        self._share()

    def wrong(self):
        texts = []
        for mask in self._held + self._shared:
            filled = (mask.kernel.numpy() != 0) & ~mask.grid.expand(mask.live)
            if filled.any():
                texts.append(
                    f"{mask.name} should have {mask.dead} zeros, and {np.count_nonzero(filled)} of "
                    "them are weights again"
                )
        return texts

    def named_kernels(self):
        return named([mask for mask in self._held if not isinstance(mask, BiasMask)])

    def get_config(self):
        return {"layers": serialize_selector(self.layers)}

    @classmethod
    def from_config(cls, config):
        return cls(deserialize_selector(config["layers"]))

    def _share(self):
        """Has other callbacks that have taken variables over keep the zeros in their own masks."""
        self._shared += [mask for mask in self._held if not mask.is_in_place]
        self._held = [mask for mask in self._held if mask.is_in_place]
        for mask in list(self._shared):
            there = mask.kernel.variable.constraint
            if not self._is_others(there) or there.holder.kept is not None:
                continue
            owner = there.participant
            if getattr(owner, "regrowth", None) is not None:
                if self.layers is None:
                    self._shared.remove(mask)
                    continue
                raise ValueError(
                    "`layers` of KeepMasks must leave out what a BlockPruning with a Regrowth "
                    f"prunes, which lets zeros live again. Received: layers={self.layers!r} and "
                    f"{owner.selects()}, which both have {mask.name}"
                )
            there.holder.keep_zero(mask.grid.expand(mask.live))

    def _is_masked(self, mask):
        """Whether another callback of this `fit` has masked the variable of `mask`; in a loop of
        one's own its mask may be left from another loop.
        """
        return self.training.in_fit and self._is_others(mask.kernel.variable.constraint)

    def _is_others(self, constraint):
        """Whether it is the mask of another callback of this training."""
        is_mask = isinstance(constraint, MaskConstraint) and constraint.participant is not self
        return is_mask and self.training.is_same(constraint.training)


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
