"""How models of other kinds go through: prune, swap the layers, compare, save, load, go back.

    python examples/your_model.py

Find the one that looks like yours and read its function. What is done to each of them stands in
`there_and_back`, to a subclassed one in `in_place`. The layers are small and the data are noise:
this is about models, not accuracy. docs/your_model.md has more kinds, and what to do with them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own messages
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

import keras_sparse_rnn as ksr

STEPS, FEATURES, CLASSES, BLOCK = 12, 8, 3, (8, 8)


def sequential():
    """Sequential, with layers stacked"""
    return keras.Sequential(
        [
            keras.Input((STEPS, FEATURES)),
            keras.layers.GRU(32, return_sequences=True),
            keras.layers.SimpleRNN(32),
            keras.layers.Dense(CLASSES),
        ]
    )


def without_input():
    """Sequential without an Input: the first batch builds it"""
    return keras.Sequential([keras.layers.LSTM(32), keras.layers.Dense(CLASSES)])


def functional():
    """Functional, Bidirectional, masked padding, a residual connection"""
    inputs = keras.Input((STEPS, FEATURES))
    x = keras.layers.Masking()(inputs)
    x = keras.layers.Bidirectional(keras.layers.LSTM(32, return_sequences=True))(x)
    x = keras.layers.Add()([x, keras.layers.Dense(64)(x)])
    x = keras.layers.GRU(32)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def nested():
    """A model inside TimeDistributed: the rows of each picture, then the pictures of each film"""
    rows = keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(32)])
    inputs = keras.Input((STEPS, FEATURES))
    x = keras.layers.Reshape((STEPS, 4, 2))(inputs)
    x = keras.layers.TimeDistributed(rows)(x)
    x = keras.layers.LSTM(32)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def mixed_precision():
    """Mixed precision: variables in float32, arithmetic in bfloat16"""
    policy = keras.DTypePolicy("mixed_bfloat16")
    inputs = keras.Input((STEPS, FEATURES))
    x = keras.layers.LSTM(32, dtype=policy)(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, dtype="float32")(x))


@keras.saving.register_keras_serializable(package="your_model")
class Subclassed(keras.Model):
    """A model whose code says what it computes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.recurrent = keras.layers.LSTM(32)
        self.scores = keras.layers.Dense(CLASSES)

    def call(self, inputs):
        return self.scores(self.recurrent(inputs))


def subclassed():
    """Subclassed: its layers are swapped in place"""
    return Subclassed()


def prune(model, x, y):
    """Trains `model` for 20 steps, and prunes its recurrent layers to 75 % meanwhile."""
    schedule = ksr.schedules.PolynomialDecay(0.0, 0.75, begin_step=2, end_step=12)
    pruning = ksr.callbacks.BlockPruning(schedule, BLOCK, frequency=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, batch_size=16, epochs=2, callbacks=[pruning], verbose=0)


def there_and_back(model, x):
    """Swaps the layers, saves, loads and goes back to Keras layers: the largest difference that any
    of it makes to the predictions.
    """
    sparse = ksr.substitute(model)
    sparse.save("your_model.keras")
    loaded = keras.models.load_model("your_model.keras")
    dense = ksr.to_dense(loaded)
    expected = predictions(model, x)
    return max(np.abs(predictions(one, x) - expected).max() for one in (sparse, loaded, dense))


def in_place(model, x):
    """The same for a subclassed model, which is no copy and is saved with its Keras layers:
    `substitute` warns that its class makes those, and no others, when a file is loaded.
    """
    expected = predictions(model, x)
    ksr.substitute(model, in_place=True)
    sparse = predictions(model, x)
    ksr.to_dense(model, in_place=True)
    model.save("your_model.keras")
    loaded = keras.models.load_model("your_model.keras")
    return max(np.abs(one - expected).max() for one in (sparse, predictions(loaded, x)))


def predictions(model, x):
    return np.asarray(model(x), "float32")


def sparsity(model):
    """The share of the recurrent layers' weights that are zero."""
    rows = ksr.report(model, console=False).rows
    recurrent = {row.layer for row in rows if row.kernel == "recurrent_kernel"}
    kernels = [row for row in rows if row.layer in recurrent]
    return np.average(
        [row.sparsity for row in kernels], weights=[row.dense_bytes for row in kernels]
    )


def main():
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(160, STEPS, FEATURES)).astype("float32")
    x[:40, -3:] = 0  # shorter sequences, padded
    y = generator.integers(0, CLASSES, 160)
    for make in (sequential, without_input, functional, nested, mixed_precision, subclassed):
        model = make()
        prune(model, x, y)
        check = in_place if make is subclassed else there_and_back
        largest, zero = check(model, x), sparsity(model)
        print(f"{make.__doc__}:\n    {100 * zero:.0f} % zero, largest difference {largest:.0e}")


if __name__ == "__main__":
    main()
