"""A language model that writes like Python's manual: trained dense, pruned to 90 %, made fast,
exported, brought back to plain Keras.

    python examples/char_lm.py --quick    # 128 units and few steps, half a minute: it works
    python examples/char_lm.py            # 512 units and five times the steps

The last tenth of the text is held out. The model is written to char_lm.keras, and for LiteRT to
char_lm.tflite."""

import argparse
import os
import pathlib
import pydoc_data.topics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's own messages
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr

BATCH, WINDOW, STEPS = 32, 64, 100  # STEPS: characters in one inference of the LiteRT file
BLOCK = (16, 16)


def readable(path):
    """The text of a file that `--text` names."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"no readable UTF-8 text ({error})") from None


def parse():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="a small model and few steps")
    parser.add_argument("--units", type=int, help="of the LSTM (default: 512; 128 if quick)")
    parser.add_argument("--sparsity", type=float, default=0.9, help="default: 0.9")
    parser.add_argument("--text", type=readable, metavar="FILE", help="default: Python's own help")
    options = parser.parse_args()
    options.steps = 500 if options.quick else 2500
    options.units = options.units or (128 if options.quick else 512)
    if options.units < min(BLOCK):
        parser.error(f"--units: at least {min(BLOCK)}, the side of a block")
    if options.text is None:
        paragraphs = "\n\n".join(pydoc_data.topics.topics.values()).split("\n\n")
        options.text = "\n\n".join(dict.fromkeys(paragraphs))  # many stand there twice
    if len(options.text) < 20 * (WINDOW + 1):
        parser.error(f"--text: at least {20 * (WINDOW + 1)} characters")
    return options


def windows(codes, count, seed):
    """`count` windows from random places, and the characters that follow each of theirs."""
    starts = np.random.default_rng(seed).integers(0, len(codes) - WINDOW, count)
    taken = codes[starts[:, None] + np.arange(WINDOW + 1)]
    return taken[:, :-1], taken[:, 1:]


def bits(model, codes):
    """Bits per character: how many yes-or-no questions it takes to know the next one."""
    x, y = windows(codes, 400, seed=0)
    return model.evaluate(x, y, batch_size=100, verbose=0) / np.log(2)


def microseconds(models, calls=60):
    """The median time of one step at batch 1; the models take turns."""
    x = tf.zeros((1, STEPS), "int32")
    functions = [tf.function(model) for model in models]
    times = [[] for _ in models]
    for _ in range(calls):
        for function, seen in zip(functions, times):
            function(x)  # finds the caches as another model has left them
            start = time.perf_counter()
            function(x).numpy()
            seen.append(1e6 * (time.perf_counter() - start) / STEPS)
    return np.median(times, axis=1)


def write(model, characters, prompt="The ", length=300, temperature=0.7):
    """What the model writes after `prompt`, one character after the other."""
    step = tf.function(lambda codes: model(codes)[0, -1] / temperature)
    generator, written = np.random.default_rng(0), [characters.index(c) for c in prompt]
    for _ in range(length):
        recent = ([characters.index("\n")] * WINDOW + written)[-WINDOW:]
        chances = tf.nn.softmax(step(tf.constant([recent]))).numpy().astype("float64")
        written.append(int(generator.choice(len(chances), p=chances / chances.sum())))
    return "".join(characters[code] for code in written)


def row(name, dense, pruned, form, gain=None):
    gain = f"{dense / pruned:.1f} times {gain}" if gain else "fewer are better"
    print(f"{name:30}{dense:>10{form}}{pruned:>10{form}}   {gain}")


def main():
    options = parse()
    keras.utils.set_random_seed(1)
    characters = sorted({*options.text, *"The \n"})
    codes = np.searchsorted(characters, list(options.text)).astype("int32")
    held_out, codes = codes[-len(codes) // 10 :], codes[: -len(codes) // 10]
    warm = ksr.recipes.warm_cosine(options.steps, 8e-3)
    recipe = ksr.recipes.PruneTrained(options.steps, 16e-3, options.sparsity, BLOCK, lasso=1e-5)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(len(characters), 64),
            keras.layers.LSTM(options.units, return_sequences=True),
            keras.layers.Dense(len(characters)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = windows(codes, options.steps * BATCH, seed=1)

    print(f"1. An LSTM of {options.units} units, dense, reads {len(codes):,} characters")
    model.compile(keras.optimizers.Adam(warm, clipnorm=1.0), loss)
    model.fit(x, y, batch_size=BATCH, verbose=2)
    dense_bits = bits(model, held_out)

    print(f"2. It trains on and is pruned to {100 * options.sparsity:g} %, in blocks of 16 x 16")
    model = ksr.substitute(model, block_shape=BLOCK, storage="masked")  # trains faster as it goes
    model.compile(keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0), loss)
    model.fit(x, y, batch_size=BATCH, callbacks=recipe.callbacks, verbose=2)

    print("3. Its layers are swapped for ones that hold and compute the live blocks only")
    plain = ksr.to_dense(model)  # a Keras model, with zeros in it
    sparse = ksr.substitute(plain)
    report = ksr.report(sparse)
    dense_time, sparse_time = microseconds([plain, sparse])
    summary = ksr.export.export_litert(sparse, "char_lm.tflite", batch_size=1, steps=STEPS)
    ksr.to_dense(sparse).save("char_lm.keras")

    print(f"\n{'':30}{'dense':>10}{'pruned':>10}")
    row("bits per character, held out", dense_bits, bits(sparse, held_out), ".3f")
    row("bytes of weights", report.dense_bytes, report.bytes, ",", "smaller")
    row("bytes of the LiteRT file", summary.dense_bytes, summary.bytes, ",", "smaller")
    row("microseconds a character", dense_time, sparse_time, ".2f", "faster")
    print(f"largest difference of the LiteRT file from Keras: {summary.largest_error:.0e}")
    print(
        f"\nThe pruned model, which was trained twice as long, writes:\n{write(sparse, characters)}"
    )


if __name__ == "__main__":
    main()
