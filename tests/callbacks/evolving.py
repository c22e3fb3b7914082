"""What the tests of Evolution share, and a training run that can be killed and resumed.

python evolving.py BACKUP_DIR KILL_AT GROWTH"""

import os
import signal
import sys

import keras
import numpy as np

from keras_sparse_rnn import callbacks, layers

STEPS = 4  # of an epoch
CELLS = {
    "lstm": layers.BlockSparseLSTM,
    "gru": layers.BlockSparseGRU,
    "simple_rnn": layers.BlockSparseSimpleRNN,
}


def data(samples=8 * STEPS):
    generator = np.random.default_rng(1)
    return (
        generator.normal(size=(samples, 3, 7)).astype("float32"),
        generator.normal(size=(samples, 2)).astype("float32"),
    )


def model(cell="lstm", optimizer=None, block_shape=(3, 2), sparsity=0.7, **options):
    """A recurrent layer "rnn" of odd sizes and a sparse "head", compiled."""
    compiled = {"run_eagerly": options.pop("run_eagerly", True)}
    compiled.update({key: options.pop(key) for key in ("steps_per_execution",) if key in options})
    made = keras.Sequential(
        [
            keras.Input((3, 7)),
            CELLS[cell](17, block_shape, sparsity=sparsity, name="rnn", **options),
            layers.BlockSparseDense(2, (2, 1), sparsity=0.4, name="head"),
        ]
    )
    made.compile(optimizer or keras.optimizers.Adam(0.02), "mse", **compiled)
    return made


def fit(made, *more, epochs=3, samples=8 * STEPS, **arguments):
    x, y = data(samples)
    return made.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(more),
        **arguments,
    )


def kernels(made):
    """`(grid, values, blocks)` of each kernel, NumPy arrays."""
    rnn, head = made.get_layer("rnn"), made.get_layer("head")
    cell = rnn.cell
    found = [
        (rnn.grids[0], cell.kernel_values, cell.kernel_blocks),
        (rnn.grids[1], cell.recurrent_kernel_values, cell.recurrent_kernel_blocks),
        (head.grids[0], head.kernel_values, head.kernel_blocks),
    ]
    return [(grid, np.array(v.numpy()), np.array(b.numpy())) for grid, v, b in found]


class After(keras.callbacks.Callback):
    """Calls a function of the model after each step."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_train_batch_end(self, batch, logs=None):
        self.function(self.model)


def whole_run(growth, backup_dir=None, after=None, run_eagerly=False):
    """Four epochs of the same batch, for Keras begins an epoch anew when it resumes in it. Returns
    the weights, and the optimizer's. `after` is called with the model after each step.
    """
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    made = model("simple_rnn", run_eagerly=run_eagerly)
    more = [callbacks.Evolution(2, 0.5, growth=growth)]
    if backup_dir:
        more.insert(0, keras.callbacks.BackupAndRestore(backup_dir, save_freq="epoch"))
    if after:
        more.append(After(after))
    x, y = (np.tile(one[:8], (STEPS, *[1] * (one.ndim - 1))) for one in data())
    made.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=more)
    return [np.array(one.numpy()) for one in [*made.weights, *made.optimizer.variables]]


if __name__ == "__main__":

    def kill(made):
        if int(made.optimizer.iterations.numpy()) >= int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    whole_run(sys.argv[3], sys.argv[1], kill)
