"""What finished models are worth: bits of several, time per step, bytes, largest difference, a
sample of text.
"""

import statistics
import time

import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.text.char_network import EMBEDDING, build, recurrent

STEPS = 100


def spread(bits, dense=None):
    """Mean, the standard deviation of several, and how far that is from `dense`."""
    if not bits:
        return ""
    mean = statistics.mean(bits)
    deviation = f" ± {statistics.stdev(bits):.3f}" if len(bits) > 1 else ""
    return f"{mean:.3f}{deviation}" + (f" ({100 * (mean / dense - 1):+.1f} %)" if dense else "")


def microseconds_per_step(layers, rounds=12, calls=10, inputs=None, of_all=statistics.median):
    """Times recurrent layers at batch 1 over `STEPS` steps, in turns, so that all see the same
    machine.

    A turn is several calls, of which the first ones do not count: they find the caches, and the
    threads, as the other layer has left them.

    Args:
        layers: mapping of names to built layers that take `[1, STEPS, EMBEDDING]`.
        rounds: turns of each.
        calls: calls in a turn; the last two thirds are timed.
        inputs: what they take instead, of `STEPS` steps: whole models take codes, int32 `[1,
            STEPS]`.
        of_all: what is taken of all times; `min` where other programs run beside.

    Returns:
        dict of names to microseconds for one step.
    """
    noise = np.random.default_rng(0).normal(size=(1, STEPS, EMBEDDING)).astype("float32")
    x = tf.constant(noise if inputs is None else inputs)
    functions = {name: tf.function(layer) for name, layer in layers.items()}
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            for call in range(calls):
                start = time.perf_counter()
                function(x).numpy()
                if call >= calls // 3:
                    times[name].append(time.perf_counter() - start)
    return {name: 1e6 * of_all(values) / STEPS for name, values in times.items()}


def bytes_of(model):
    """Bytes of the weights that a model keeps when its layers hold live blocks only."""
    return sum(
        variable.shape.num_elements() * np.dtype(variable.dtype).itemsize
        for layer in model.layers
        for variable in layer.weights
        if "seed" not in variable.path
    )


def largest_difference(model, other, text):
    """The largest difference of two models' logits over held-out text."""
    inputs = text.evaluation()[0][:8]
    return float(np.abs(model(inputs) - other(inputs)).max())


def sample(model, text, length=400, temperature=0.7, prompt="The ", seed=0):
    """Text that the model writes, one character after the other, in block-sparse layers that keep
    their state from call to call.
    """
    layer = recurrent(model)
    writer = build(len(text.characters), layer.units, batch=1, stateful=True, cell=layer.name)
    writer.set_weights(model.get_weights())
    writer = ksr.substitute(writer)
    step = tf.function(lambda code: writer(code, training=False)[0, -1])
    generator = np.random.default_rng(seed)
    written = list(text.encode(prompt))
    logits = [step(tf.constant([[code]])) for code in written][-1]
    while len(written) < length:
        scores = logits.numpy() / temperature
        chances = np.exp(scores - scores.max())
        written.append(int(generator.choice(len(chances), p=chances / chances.sum())))
        logits = step(tf.constant([[written[-1]]]))
    return text.decode(written)
