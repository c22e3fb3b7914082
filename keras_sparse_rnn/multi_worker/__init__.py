"""Training on several machines, by TensorFlow's own `tf.distribute.MultiWorkerMirroredStrategy`.

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    ksr.multi_worker.enable()                       # or Keras 3.15's `fit` fails, with any model
    with strategy.scope():
        model = ...
        model.compile(...)
    backup = ksr.multi_worker.BackupAndRestore("backup")
    model.fit(..., callbacks=[backup, ksr.callbacks.BlockPruning(...)])

`docs/scaling.md` tells how to start the workers, what is averaged over them, and shows a loop of
one's own, which needs no `enable`."""

from keras_sparse_rnn.multi_worker.backup import BackupAndRestore
from keras_sparse_rnn.multi_worker.remedy import enable
from keras_sparse_rnn.multi_worker.workers import is_chief, worker_count

__all__ = ["BackupAndRestore", "enable", "is_chief", "worker_count"]
