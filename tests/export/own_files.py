"""Writes a file of our operator, and what Keras makes of an input, for `other_runtime.py`:

python own_files.py FOLDER"""

import pathlib
import shutil
import sys

import keras
import numpy as np
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import library


def write(folder):
    """Writes `own.tflite`, `own.npz` and the library into the folder."""
    keras.utils.set_random_seed(0)
    parts = [
        keras.layers.LSTM(24, return_sequences=True),
        keras.layers.GRU(20, return_sequences=True),
        keras.layers.Dense(4, name="out"),
    ]
    model = randomised(keras.Sequential([keras.Input((6, 18), name="x"), *parts]))
    prune(parts[0], (4, 4), 0.6)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    export.export_litert(model, folder / "own.tflite", "ksr")
    x = np.random.default_rng(0).normal(size=(1, 6, 18)).astype("float32")
    shutil.copy(library.path(), folder)
    np.savez(folder / "own.npz", x=x, expected=model(x).numpy())


if __name__ == "__main__":
    write(sys.argv[1])
