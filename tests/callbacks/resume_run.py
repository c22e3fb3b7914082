"""A training run that can be killed and resumed: used by test_resume.py, in its own process and in
one that is killed.

python resume_run.py CASE BACKUP_DIR KILL_AT"""

import os
import signal
import sys

import keras
import numpy as np

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import PolynomialDecay, ThresholdRamp

LAST = 18  # steps of a whole run
STEPS = 6  # of an epoch
FREQUENCY = 6  # masks at steps 1, 7 and 13: weights move far in between
COUNT = PolynomialDecay(0.2, 0.8, 1, 13)
RAMP = ThresholdRamp(1, 7, 13, 0.11, 0.18, frequency=FREQUENCY)


class At(keras.callbacks.Callback):
    """Calls a function at the end of a step, by the number of weight updates."""

    def __init__(self, step, function):
        super().__init__()
        self.step, self.function = step, function

    def on_train_batch_end(self, batch, logs=None):
        if self.step is not None and int(self.model.optimizer.iterations.numpy()) >= self.step:
            self.function(self.model)


def stop(model):
    model.stop_training = True


def kill(model):
    os.kill(os.getpid(), signal.SIGKILL)


def run(
    schedule, backup_dir=None, save_freq="epoch", before=True, last_words=None, **compile_arguments
):
    """Trains from a fixed seed, resumes if there is a backup, and returns `(masks, weights)`.

    All batches are the same, because Keras begins the epoch anew when it resumes in the middle of
    one.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.SimpleRNN(23, name="rnn", unroll=True),
            keras.layers.Dense(2),
        ]
    )
    eagerly = compile_arguments.get("steps_per_execution", 1) == 1  # tracing takes longer
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=eagerly, **compile_arguments)
    generator = np.random.default_rng(0)
    x, y = (
        generator.normal(size=(8, 2, 5)).astype("float32"),
        generator.normal(size=(8, 2)).astype("float32"),
    )
    pruning = BlockPruning(schedule, (2, 2), frequency=FREQUENCY)
    callbacks = [pruning]
    if backup_dir is not None:
        backup = keras.callbacks.BackupAndRestore(backup_dir, save_freq=save_freq)
        callbacks = [backup, pruning] if before else [pruning, backup]
    callbacks += [At(LAST, stop), At(*(last_words or (None, None)))]
    x, y = np.tile(x, (STEPS, 1, 1)), np.tile(y, (STEPS, 1))
    model.fit(
        x, y, batch_size=8, epochs=2 * LAST // STEPS, shuffle=False, verbose=0, callbacks=callbacks
    )
    return pruning.masks, [np.array(w.numpy()) for w in model.weights]


CASES = {
    # saved after each epoch of six steps, five of them in one execution
    "epoch": dict(schedule=COUNT, save_freq="epoch", before=True, steps_per_execution=5),
    # saved in the middle of an epoch, at a step at which a mask is taken
    "batch": dict(schedule=RAMP, save_freq=3, before=False),
}


if __name__ == "__main__":
    run(**CASES[sys.argv[1]], backup_dir=sys.argv[2], last_words=(int(sys.argv[3]), kill))
