"""Gradual pruning of whole units while a model trains."""

import keras
import numpy as np

from keras_sparse_rnn import criteria, schedules
from keras_sparse_rnn.callbacks.configs import (
    deserialize_schedule,
    deserialize_selector,
    serialize_schedule,
    serialize_selector,
)
from keras_sparse_rnn.callbacks.schedule_arguments import bound, check_frequency
from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.pruning.groups import trainable_kernels
from keras_sparse_rnn.pruning.mask_holder import MaskHolder
from keras_sparse_rnn.pruning.unit_masks import UnitMasks
from keras_sparse_rnn.schedules import ThresholdRamp
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.selection import as_selectors, short_names

FREQUENCY = 100


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class UnitPruning(MaskHolder):
    """Drops units of recurrent layers, more and more of them, while the model trains.

        schedule = ksr.schedules.PolynomialDecay(0.0, 0.5, begin_step=1000, end_step=5000)
        model.fit(x, y, epochs=20, callbacks=[ksr.callbacks.UnitPruning(schedule)])
        small = ksr.remove_dead_units(model)

    At the steps of the schedule the units of least importance of each layer are dropped until the
    fraction of that step is dead; a layer keeps one at least. All weights into a dead unit are
    zero, its bias and, in its own layer, those out of it. A unit of a recurrent layer with Keras's
    activations that begins at zero is zero then, whatever the model is given, so
    `remove_dead_units` can take it out. (In a layer that begins from the states of another one, as
    a decoder does from those of its encoder, a dead unit begins with what it is handed and is not
    zero: there most units stay.) A unit that is dropped stays so.

    Masks are constraints, as in `BlockPruning`, and what is said there of resuming, of several
    `fit`s and of loops of your own holds here: the schedule is a function of
    `optimizer.iterations`, and units without any weight into them have been dropped before.

    `logs` get `"units"`, how many live in all these layers, and `"sparsity"`, of their kernels.

    The protocol of Curci et al. 2021 (arXiv 2102.01732) drops the units at or below the 10th
    percentile every 20 epochs, from epoch 200 on: a `PolynomialDecay` with `power=1` in `InEpochs`,
    and `frequency` of 20 epochs.

    Args:
        schedule: a schedule of `keras_sparse_rnn.schedules`, which gives the fraction of the units
            of each layer that is dead; a number is a `Constant` from step 0 on.
        frequency: steps between two masks; `None`: that of the schedule if it has one, else 100.
        importance: `"in"` or `"out"`, see `criteria.UnitImportance`, or an object of this class.
        layers: which layers: `None` for all recurrent ones, or a selector or a list of selectors
            (see `selection`). Of `Dense` layers select hidden ones: units of the last layer are
            what the model returns.
        optimizer: the optimizer whose steps the schedule counts; `None`: that of the model.

    Raises:
        ValueError: an argument is wrong or, when training begins, does not fit the model; weights
            are NaN or infinite when units are dropped.
        RuntimeError: the first step after units were dropped brings them back, as in
            `BlockPruning`.

    Warns:
        UserWarning: training ends before the schedule does; callbacks have restored weights in
            which dead units live.
    """

    task = "its units are pruned"

    def __init__(self, schedule, *, frequency=None, importance="in", layers=None, optimizer=None):
        super().__init__(optimizer)
        if isinstance(schedules.get(schedule, numbers=True), ThresholdRamp):
            raise ValueError(
                "`schedule` must give a fraction of the units, which a ThresholdRamp does not. "
                f"Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.frequency = None if frequency is None else check_step(frequency, "frequency", least=1)
        check_frequency(self.frequency, schedule)
        self.importance = importance
        self._importance = (
            importance
            if isinstance(importance, criteria.UnitImportance)
            else criteria.UnitImportance(importance)
        )
        if layers is not None:
            as_selectors(layers)
        self.layers = layers
        self._schedule = schedules.get(schedule, numbers=True)
        self._owners, self._point = [], None

    @property
    def live_units(self):
        """Which units live, by the path of the layer: bool `[units]`. Kept after training."""
        return {owner.path: owner.live.copy() for owner in self._owners}

    def find(self):
        schedule = bound(self.schedule, self.params, self._steps.counted)
        kernels = {}
        for kernel in trainable_kernels(self.model, self.layers, "pruned"):
            kernels.setdefault(id(kernel.cell), []).append(kernel)
        owners = [UnitMasks(own) for own in kernels.values()]
        for owner in owners:
            for mask in owner.masks:
                mask.check_free(self, self.training)
            self._scores(owner)
        return schedule, owners

    def install(self, found):
        self._schedule, self._owners = found
        self.hold([mask for owner in self._owners for mask in owner.masks])

    def begin_run(self, step):
        super().begin_run(step)
        for owner in self._owners:
            owner.live = owner.pattern()
            if not owner.live.any():  # an initializer makes it so
                owner.live = np.ones(owner.units, bool)
        self._point = self._schedule.last_trigger(step, self.frequency or FREQUENCY)
        self._drop()

    def after_step(self, step):
        super().after_step(step)
        point = self._schedule.last_trigger(step, self.frequency or FREQUENCY)
        if point != self._point:
            self._point = point
            self._drop()

    def wrong(self):
        return [text for owner in self._owners if (text := owner.shortfall()) is not None]

    def unfinished(self, step):
        end = self._schedule.end_step
        last = self._schedule.begin_step if end is None else end
        if not self._owners or step >= last:
            return []
        units = sum(owner.units for owner in self._owners)
        return [
            f"the schedule reaches {self._schedule(last):.4f} of the units at step {last} "
            f"({self.figures()['units']} of {units} live now)"
        ]

    def figures(self):
        return {"units": sum(int(np.count_nonzero(owner.live)) for owner in self._owners)}

    def named_kernels(self):
        masks = [mask for owner in self._owners for mask in owner.kernels]
        return list(zip(short_names([mask.kernel for mask in masks]), masks))

    def _drop(self):
        """Drops what the schedule asks for at its last trigger."""
        fraction = 0.0
        if self._point is not None:
            fraction = check_sparsity(self._schedule(self._point), "schedule(step)")
        lives = [self._chosen(owner, fraction) for owner in self._owners]
        pairs = [pair for owner, live in zip(self._owners, lives) for pair in owner.chosen(live)]
        self.apply(pairs)
        for owner in self._owners:
            (first, *_) = owner.kernels
            owner.live = first.live.any(axis=(0, 2))

    def _chosen(self, owner, fraction):
        """Which units of a layer live when `fraction` of them are dead."""
        count = min(round(fraction * owner.units), owner.units - 1)
        live = owner.live.copy()
        if (more := count - np.count_nonzero(~live)) > 0:
            scores = np.where(live, self._scores(owner), np.inf)
            live[np.argsort(scores, kind="stable")[:more]] = False
        return live

    def _scores(self, owner):
        scores = self._importance.unit_scores(owner.kernels[0].kernel, self.model)
        if not np.isfinite(scores).all():
            raise ValueError(
                "The weights must be finite when units are dropped: training has diverged. "
                f"Received: NaN or infinite weights in {owner.path}"
            )
        return scores

    def get_config(self):
        self.check_config()
        return {
            "schedule": serialize_schedule(self.schedule),
            "frequency": self.frequency,
            "importance": criteria.serialize(self.importance),
            "layers": serialize_selector(self.layers),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["schedule"] = deserialize_schedule(config["schedule"])
        config["layers"] = deserialize_selector(config.get("layers"))
        config["importance"] = criteria.deserialize(config.get("importance", "in"))
        return cls(**config)
