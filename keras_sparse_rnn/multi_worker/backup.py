"""A backup of a training on several workers, from which all of them go on alike."""

import keras

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.multi_worker.workers import from_chief, is_chief, worker_count


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """`keras.callbacks.BackupAndRestore` for `tf.distribute.MultiWorkerMirroredStrategy`: the chief
    alone writes and reads the backup, and hands out what it has read.

    Keras's own lets every worker write. In one folder they write into each other's file; in folders
    of their own, a worker that is killed between two saves leaves backups of different epochs, and
    the workers would go on with different weights, which no step brings together again. Here there
    is one backup, on the chief's disk, which the others need not see.

    If a worker dies, TensorFlow ends the training of the others with an `UnavailableError`, within
    some ten seconds. Start all of them again, with the same program: they go on at the epoch that
    the backup was made in, with the chief's weights and the chief's state of the optimizer, and so
    with the same masks.

    With one worker, or under another strategy, it is Keras's.

    Args:
        backup_dir, save_freq, double_checkpoint, delete_checkpoint: as Keras's. Only the chief uses
            `backup_dir`.
    """

    def on_train_begin(self, logs=None):
        strategy = self.model.distribute_strategy
        if is_chief(strategy):
            super().on_train_begin(logs)
        if worker_count(strategy) > 1:
            self._hand_out(strategy)

    def on_train_batch_end(self, batch, logs=None):
        if is_chief(self.model.distribute_strategy):
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if is_chief(self.model.distribute_strategy):
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        if is_chief(self.model.distribute_strategy):
            super().on_train_end(logs)

    def _hand_out(self, strategy):
        """Gives all workers the weights, the optimizer's state and the epoch that the chief begins
        with.
        """
        model = self.model
        if not model.optimizer.built:
            with strategy.scope():
                model.optimizer.build(model.trainable_variables)
        variables = [*model.weights, *model.optimizer.variables]
        epoch, *values = from_chief(
            [private_keras.initial_epoch(model), *(variable.numpy() for variable in variables)],
            strategy,
        )
        for variable, value in zip(variables, values):
            variable.assign(value)
        private_keras.set_initial_epoch(model, int(epoch))
