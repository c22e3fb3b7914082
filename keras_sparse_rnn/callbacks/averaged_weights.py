"""Averages of weights in the place of the weights, where a model is judged."""

import keras

from keras_sparse_rnn.optimizers import AveragedSGD
from keras_sparse_rnn.schedules.schedule import check_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class AveragedWeights(keras.callbacks.Callback):
    """Evaluates a model, and leaves it, with the averages of an `optimizers.AveragedSGD`.

    During validation, and when training has ended, the averages stand in the weights' place. If the
    optimizer has no `begin_step`, averaging begins when `monitor` has not come below its least
    value, that of the last `patience` epochs left out: the non-monotone trigger of Merity et al.
    (2018, arXiv 1708.02182, algorithm 1, with `patience` for its n). A run that is resumed before
    that knows the epochs since then only.

    Place it before callbacks that save the model at the end of training.

    Args:
        monitor: a figure of the logs of an epoch; the lower the better.
        patience: epochs.

    Raises:
        ValueError: when training begins, the model is not compiled with an `AveragedSGD`; at the
            end of an epoch, its logs have no `monitor`.
    """

    def __init__(self, monitor="val_loss", patience=5):
        super().__init__()
        self.monitor, self.patience = monitor, check_step(patience, "patience", least=1)
        self._weights, self._seen = None, []

    def on_train_begin(self, logs=None):
        if not isinstance(self.model.optimizer, AveragedSGD):
            raise ValueError(
                "The model must be compiled with a ksr.optimizers.AveragedSGD. Received: "
                f"{type(self.model.optimizer).__name__}"
            )
        self._seen, self._weights = [], None

    def on_test_begin(self, logs=None):
        self._put_in()

    def on_test_end(self, logs=None):
        if self._weights is not None:
            for variable, value in zip(self.model.trainable_variables, self._weights):
                variable.assign(value)
        self._weights = None

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        if optimizer.is_averaging or optimizer.begin_step is not None:
            return
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"`monitor` must be in the logs of an epoch, which are {sorted(logs or {})}. "
                f"Received: monitor={self.monitor!r}"
            )
        earlier = self._seen[: -self.patience]
        if earlier and logs[self.monitor] > min(earlier):
            optimizer.begin()
        self._seen.append(logs[self.monitor])

    def on_train_end(self, logs=None):
        self._put_in()
        self._weights = None

    def get_config(self):
        return {"monitor": self.monitor, "patience": self.patience}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def _put_in(self):
        optimizer = self.model.optimizer
        if optimizer.built and optimizer.is_averaging:
            variables = self.model.trainable_variables
            self._weights = [variable.numpy() for variable in variables]
            for variable in variables:
                variable.assign(optimizer.average_of(variable))
