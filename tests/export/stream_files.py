"""Writes files of streams, each with a sequence and what Keras gives on it, for `runtimes.py` to
run in another runtime. Argument: the folder.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from pruned_models import prune, randomised

from keras_sparse_rnn import export
from keras_sparse_rnn.export import info

STEPS = {"chunks": 4}  # of the file; 1 where nothing is said


def sparse():
    """Weights of every kind that leave their zeros out: blocks, gathered, densified."""
    recurrent = [
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.GRU(16, return_sequences=True),
        keras.layers.SimpleRNN(20, return_sequences=True),
    ]
    model = keras.Sequential([keras.Input((None, 12), name="x"), *recurrent, keras.layers.Dense(2)])
    randomised(model)
    for layer, block_shape, sparsity in zip(recurrent, [(4, 1), (1, 8), (1, 1)], [0.85, 0.85, 0.7]):
        prune(layer, block_shape, sparsity)
    return model


def several():
    """Inputs of two types and one without steps, a convolution, outputs with and without steps."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    features = keras.Input((None, 5), name="features")
    speaker = keras.Input((4,), name="speaker")
    x = keras.layers.Concatenate()([keras.layers.Embedding(2, 8)(tokens), features])
    x = keras.layers.Conv1D(12, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    every = keras.layers.GRU(8, return_sequences=True)(x)
    last = keras.layers.Concatenate()([keras.layers.LSTM(8)(every), speaker])
    tags = keras.layers.TimeDistributed(keras.layers.Dense(3, activation="softmax"), name="tags")
    outputs = [tags(every), keras.layers.Dense(2, name="score")(last)]
    return randomised(keras.Model([tokens, features, speaker], outputs))


def alone():
    """A layer whose output is its state."""
    return randomised(keras.Sequential([keras.Input((None, 3), name="x"), keras.layers.LSTM(4)]))


def integers():
    """int8 weights, all of them for the sparse kernel: as they lie, gathered, and without zeros."""
    layers = [keras.layers.SimpleRNN(512, return_sequences=True) for _ in range(2)]
    model = keras.Sequential([keras.Input((None, 64), name="x"), *layers, keras.layers.Dense(10)])
    randomised(model)
    for layer, block_shape in zip(layers, [(16, 16), (1, 128)]):
        prune(layer, block_shape, 0.95)
    return model


def dense_integers():
    """int8 weights, all of them for XNNPACK."""
    layer = keras.layers.GRU(40, return_sequences=True)
    return randomised(keras.Sequential([keras.Input((None, 24), name="x"), layer]))


def chunks():
    """A loop over the steps of a chunk, two sequences at a time."""
    layer = keras.layers.GRU(8, return_sequences=True)
    features = keras.Input((None, 4), batch_size=2, name="x")
    return randomised(keras.Model(features, keras.layers.Dense(2)(layer(features))))


MODELS = {
    each.__name__: each for each in (sparse, several, alone, chunks, integers, dense_integers)
}
INT8 = ("integers", "dense_integers")


def write(name, folder):
    """The file of one of the `MODELS`, and beside it the arrays: of each input and of each output,
    an axis of chunks in front.
    """
    keras.utils.set_random_seed(0)
    model, steps, count = MODELS[name](), STEPS.get(name, 1), 5
    path = folder / f"{name}.tflite"
    weights = "int8" if name in INT8 else "float32"
    export.export_litert(model, path, weights=weights, streaming=True, steps=steps)
    stream = info.read(path.read_bytes())["streaming"]
    details = export.Interpreter(path).get_signature_runner().get_input_details()
    rng, whole = np.random.default_rng(1), {}
    for each in model.inputs:
        sizes = each.shape[0] or 1, *([count * steps] if each.shape[1] is None else [])
        shape = *sizes, *each.shape[len(sizes) :]
        random = rng.integers(0, 2, shape) if each.dtype == "int32" else rng.normal(size=shape)
        whole[each.name] = random.astype(each.dtype)

    def until(chunk):
        return {
            key: array[:, : chunk * steps] if array.shape[1] == count * steps else array
            for key, array in whole.items()
        }

    arrays = {f"shape/{name}": details[name]["shape"] for name in stream["states"]}
    arrays["states"] = np.array(stream["states"])
    arrays["tolerance"] = np.array(0.02 if name in INT8 else 1e-5)
    for key, array in whole.items():
        pieces = [until(chunk)[key] for chunk in range(1, count + 1)]
        cut = array.shape[1] == count * steps
        arrays[f"in/{key}"] = np.stack([one[:, -steps:] if cut else one for one in pieces])
    ends = []
    for chunk in range(1, count + 1):
        inputs = [until(chunk)[each.name] for each in model.inputs]
        ends.append(keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0])))
    for place, key in enumerate(stream["outputs"]):
        outputs = [np.asarray(end[place]) for end in ends]
        cut = outputs[0].shape != outputs[1].shape
        arrays[f"out/{key}"] = np.stack([one[:, -steps:] if cut else one for one in outputs])
    np.savez(folder / f"{name}.npz", **arrays)
    return path


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps([str(write(name, folder)) for name in MODELS]))
