"""The README's program with data to run on: a small LSTM is trained, pruned, made fast, exported.

    python examples/quickstart.py

The network reads numbers and shall say, at each of them, the one that came three before it. The
figures that it prints are those of a small layer and a short training: they show that all of it
works. It takes a quarter of a minute."""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own messages
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr

NUMBERS, DELAY, UNITS, BATCH = 10, 3, 128, 32


def echoes(count, length, seed):
    """Random numbers `[count, length]`, and the same numbers DELAY places later."""
    numbers = np.random.default_rng(seed).integers(0, NUMBERS, (count, DELAY + length))
    return numbers[:, DELAY:].astype("int32"), numbers[:, :-DELAY].astype("int32")


def errors(model):
    """The share of numbers not said right, among numbers that no training has seen, in %."""
    x, y = echoes(256, 32, seed=2)
    said = model.predict(x, verbose=0).argmax(axis=-1)
    return 100 * float((said != y)[:, DELAY:].mean())  # nobody can know the first ones


def milliseconds(models, steps=100, calls=50):
    """The median time that each of the models takes for one sequence, in turns."""
    x = tf.constant(echoes(1, steps, seed=3)[0])
    functions = [tf.function(model) for model in models]
    times = [[] for _ in models]
    for _ in range(calls):
        for function, seen in zip(functions, times):
            function(x)  # finds the caches as another model has left them
            start = time.perf_counter()
            function(x).numpy()
            seen.append(1000 * (time.perf_counter() - start))
    return np.median(times, axis=1)


keras.utils.set_random_seed(0)
x, y = echoes(100 * BATCH, 24, seed=1)

# A Keras model, trained dense, as you always have.
model = keras.Sequential(
    [
        keras.Input((None,), dtype="int32"),
        keras.layers.Embedding(NUMBERS, 32),
        keras.layers.LSTM(UNITS, return_sequences=True),
        keras.layers.Dense(NUMBERS),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(5e-3), loss)
model.fit(x, y, batch_size=BATCH, epochs=2, verbose=2)
dense_errors = errors(model)

# Pruned to 90 % while it trains on, in blocks of 16 x 16 weights.
recipe = ksr.recipes.PruneTrained(steps=300, learning_rate=5e-3, sparsity=0.9, block_shape=(16, 16))
model.compile(keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0), loss)
model.fit(x, y, batch_size=BATCH, epochs=3, callbacks=recipe, verbose=2)

# The same predictions from a tenth of the LSTM's weights.
sparse = ksr.substitute(model)
report = ksr.report(sparse)
inputs = echoes(8, 24, seed=4)[0]
difference = float(
    np.abs(model.predict(inputs, verbose=0) - sparse.predict(inputs, verbose=0)).max()
)
keras_time, sparse_time = milliseconds([model, sparse])

# A file for LiteRT, compared with Keras before it gets its name; and back to plain Keras layers.
summary = ksr.export_litert(sparse, "quickstart.tflite", batch_size=1, steps=100)
ksr.to_dense(sparse).save("quickstart.keras")

print(f"""
errors            dense {dense_errors:.2f} %, pruned {errors(sparse):.2f} %
sparsity          {100 * report.sparsity:.1f} % of the weights in the table are zero
weights           {report.dense_bytes:,} bytes dense, {report.bytes:,} now
100 steps         {keras_time:.2f} ms in Keras, {sparse_time:.2f} ms now
LiteRT file       {summary.dense_bytes:,} bytes dense, {summary.bytes:,} now
largest change    {difference:.0e} by substitute, {summary.largest_error:.0e} in LiteRT
written           quickstart.tflite, quickstart.keras""")
