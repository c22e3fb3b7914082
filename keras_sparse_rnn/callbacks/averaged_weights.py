"""Averages of weights in the place of the weights, where a model is judged and saved."""

import warnings
import weakref

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.optimizers import AveragedSGD
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.selection import to_numpy
from keras_sparse_rnn.slots import knows

CHANGED = (
    "Other weights were put in the place of the averages, as EarlyStopping("
    "restore_best_weights=True) does, and are left as they are. Place AveragedWeights before the "
    "callbacks that save or restore weights, all but BackupAndRestore: what they save is then the "
    "averages, and so is what they restore"
)
RESUMED = (
    "Training is resumed with the averages, not with the weights that were trained: the backup "
    "was made while the averages stood in their place. Place BackupAndRestore before "
    "AveragedWeights"
)
UNKNOWN = (
    "`optimizer` was built before these weights could be trained, does not train them and has no "
    "averages of them: {}. Compile the model anew after a layer was unfrozen. They are left as "
    "they are"
)

# The weights, while the averages stand in their place: `{number: array}`, by the optimizer that has
# averaged them. They outlive a `fit` that breaks off: the next one may have another callback.
_HELD: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class AveragedWeights(keras.callbacks.Callback):
    """Evaluates a model, has it saved, and leaves it, with the averages of an
    `optimizers.AveragedSGD`.

    During validation, from the end of an epoch to the beginning of the next one, and when training
    has ended, the averages stand in the weights' place. If the optimizer has no `begin_step`,
    averaging begins when `monitor` has not come below its least value, that of the last `patience`
    epochs left out: the non-monotone trigger of Merity et al. (2018, arXiv 1708.02182, algorithm 1,
    with `patience` for its n). Epochs without validation (`validation_freq`) do not count. A run
    that is resumed before averaging begins knows the epochs since then only.

    Place it before callbacks that save or restore weights at the end of an epoch or of training,
    such as `ModelCheckpoint` and `EarlyStopping(restore_best_weights=True)`: they then have the
    averages, which `val_loss` is of. `BackupAndRestore` alone belongs before it, for a run is
    resumed with the weights.

        callbacks=[BackupAndRestore(folder), AveragedWeights(), ModelCheckpoint(...)]

    Args:
        monitor: a figure of the logs of an epoch; the lower the better.
        patience: epochs.

    Raises:
        ValueError: an argument is wrong; when training begins, the model is not compiled with an
            `AveragedSGD`; at the end of an epoch, its logs have no `monitor`, and validation could
            not bring it.

    Warns:
        UserWarning: a callback has put other weights in the place of the averages; a run is resumed
            with averages; the optimizer does not know a weight; an epoch has no validation (once).
    """

    def __init__(self, monitor="val_loss", patience=5):
        super().__init__()
        if not isinstance(monitor, str):
            raise ValueError(
                "`monitor` must be the name of a figure of the logs, such as 'val_loss'. Received: "
                f"monitor={monitor!r}"
            )
        self.monitor, self.patience = monitor, check_step(patience, "patience", least=1)
        self._seen, self._told, self._tests = [], set(), False

    def on_train_begin(self, logs=None):
        if not isinstance(self._optimizer, AveragedSGD):
            raise ValueError(
                "The model must be compiled with a ksr.optimizers.AveragedSGD. Received: "
                f"{type(self._optimizer).__name__}"
            )
        self._seen, self._told, self._tests = [], set(), False
        self._take_out()  # of a `fit` that has broken off; if the weights are others now, so be it

    def on_epoch_begin(self, epoch, logs=None):
        self._go_on()
        optimizer = self._optimizer
        if epoch and epoch == private_keras.initial_epoch(self.model) and optimizer.is_averaging:
            # For two steps the averages are the weights.
            is_old = int(optimizer.iterations) > int(optimizer.averaging_since) + 2
            if is_old and all(_same(one, optimizer.average_of(one)) for one in self._averaged()):
                warnings.warn(RESUMED, stacklevel=2)

    def on_train_batch_begin(self, batch, logs=None):
        self._go_on()  # in a loop of one's own without `on_epoch_begin`

    def on_test_begin(self, logs=None):
        self._tests = self._optimizer not in _HELD
        self._put_in()

    def on_test_end(self, logs=None):
        if self._tests:
            self._go_on()
        self._tests = False

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self._optimizer
        if not optimizer.is_averaging and optimizer.begin_step is None:
            self._look(logs or {})
        self._put_in()

    def on_train_end(self, logs=None):
        """Leaves the averages, unless a callback before this one has restored weights of another
        step: what they were an average for is no longer there.
        """
        self._put_in()
        held = _HELD.pop(self._optimizer, {})
        if self._is_untouched(held):
            for variable, value in zip(self._variables(held), held.values()):
                variable.assign(self._optimizer.average_of(variable, value))
        else:
            warnings.warn(CHANGED, stacklevel=2)

    def get_config(self):
        return {"monitor": self.monitor, "patience": self.patience}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    @property
    def _optimizer(self):
        """That of the model, or the one that a LossScaleOptimizer wraps."""
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)

    def _look(self, logs):
        """Begins to average if `monitor` no longer falls."""
        if self.monitor in logs:
            earlier = self._seen[: -self.patience]
            if earlier and logs[self.monitor] > min(earlier):
                self._optimizer.begin()
            self._seen.append(logs[self.monitor])
        elif self.monitor.removeprefix("val_") not in logs:
            raise ValueError(
                f"`monitor` must be in the logs of an epoch, which are {sorted(logs)}. "
                f"Received: monitor={self.monitor!r}"
            )
        elif not self._seen:
            self._tell(
                f"`monitor` must be in the logs of an epoch for it to count, which are "
                f"{sorted(logs)}. With `validation_freq` it comes with the next validation. "
                "Without validation data averaging never begins: give `fit` some, or AveragedSGD a "
                f"`begin_step`. Received: monitor={self.monitor!r}"
            )

    def _averaged(self):
        """The weights that the optimizer has averages of."""
        variables = self.model.trainable_variables
        if unknown := [one.path for one in variables if not knows(self._optimizer, one)]:
            self._tell(UNKNOWN.format(", ".join(unknown)))
        return [one for one in variables if knows(self._optimizer, one)]

    def _put_in(self):
        """Puts the averages in the weights' place, unless they are there."""
        optimizer = self._optimizer
        if optimizer in _HELD or not optimizer.is_averaging:
            return
        known = private_keras.optimizer_variables(optimizer)
        numbers = {id(one): number for number, one in enumerate(known)}
        variables = self._averaged()
        # All are held before the first is changed: this may break off, too.
        _HELD[optimizer] = {numbers[id(one)]: np.array(to_numpy(one)) for one in variables}
        for variable in variables:
            variable.assign(optimizer.average_of(variable))

    def _take_out(self):
        """Puts the weights back, unless somebody has put others there; returns whether it is so."""
        held = _HELD.get(self._optimizer, {})
        is_untouched = self._is_untouched(held)
        if is_untouched:
            for variable, value in zip(self._variables(held), held.values()):
                variable.assign(value)
        _HELD.pop(self._optimizer, None)
        return is_untouched

    def _go_on(self):
        if not self._take_out():
            warnings.warn(CHANGED, stacklevel=2)

    def _variables(self, held):
        variables = private_keras.optimizer_variables(self._optimizer)
        return [variables[number] for number in held]

    def _is_untouched(self, held):
        """Whether each weight is its average or, where putting them in has broken off, or somebody
        has restored the last step's, what is held of it.
        """
        return all(
            _same(one, self._optimizer.average_of(one, value)) or _same(one, value)
            for one, value in zip(self._variables(held), held.values())
        )

    def _tell(self, text):
        """Warns once in a training."""
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=2)


def _same(variable, value):
    """Whether they are equal to the bit, NaN too."""
    return to_numpy(variable).tobytes() == np.asarray(value).tobytes()
