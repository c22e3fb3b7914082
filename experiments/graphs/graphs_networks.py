"""Many small networks of one shape, trained side by side.

Each has an embedding, three recurrent layers of 50 units and two outputs. Their weights lie in
arrays with one more axis in front, so that one product of batches serves all of them: on small
layers this takes a fraction of the time of training them one by one. It changes nothing: the loss
is the sum of theirs, so no network's gradient sees another, and Adam works on each weight by
itself. All see the same strings in the same order."""

import keras
import numpy as np
import tensorflow as tf

from experiments.graphs.graphs_strings import SYMBOLS

UNITS, LAYERS, BATCH = 50, 3, 32
GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}


def initial_weights(cell, seeds):
    """Fresh weights, by name: `[networks, ...]`; those of the recurrent layers as Keras has
    them.
    """
    drawn = [_one(cell, np.random.default_rng(seed)) for seed in seeds]
    return {name: np.stack([one[name] for one in drawn]).astype("float32") for name in drawn[0]}


def is_recurrent(name):
    """Whether these weights are a recurrent kernel's."""
    return name.startswith("recurrent")


class Networks:
    """Networks that are trained side by side.

    Args:
        cell: `"tanh"`, `"relu"`, `"gru"` or `"lstm"`.
        weights: as `initial_weights` gives them.
        masks: bool arrays by the names of weights: False where a weight stays zero.
        rate: of Adam.
    """

    def __init__(self, cell, weights, masks=None, rate=1e-3):
        self.cell = cell
        masks = masks or {}
        self.masks = {name: tf.constant(mask, "float32") for name, mask in masks.items()}
        self.weights = {
            name: tf.Variable(value * masks.get(name, True)) for name, value in weights.items()
        }
        self.optimizer = keras.optimizers.Adam(rate)
        self.optimizer.build(list(self.weights.values()))
        self._step = tf.function(self._train_on)
        self._logits = tf.function(self.logits, reduce_retracing=True)

    def logits(self, symbols):
        """What the networks say of strings `[strings, steps]`: `[networks, strings, 2]`."""
        # In the product, so that masked weights have no gradient and stay zero.
        weights = {
            name: value * self.masks[name] if name in self.masks else tf.convert_to_tensor(value)
            for name, value in self.weights.items()
        }
        x = tf.gather(weights["embedding"], symbols, axis=1)
        for layer in range(LAYERS):
            own = [weights[f"{name}{layer}"] for name in ("kernel", "recurrent", "bias")]
            x = self._run(x, *own)
        return x[:, :, -1] @ weights["head"] + weights["head_bias"][:, None]

    def epoch(self, symbols, labels, seed):
        """One pass over the strings, in an order of its own for each seed."""
        order = np.random.default_rng(seed).permutation(len(labels))
        for start in range(0, len(labels) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            self._step(tf.constant(symbols[batch]), tf.constant(labels[batch]))

    def accuracy(self, symbols, labels, batch=250):
        """The fraction of strings that each network tells right, `[networks]`."""
        said = [
            self._logits(tf.constant(symbols[start : start + batch])).numpy().argmax(axis=2)
            for start in range(0, len(labels), batch)
        ]
        return (np.concatenate(said, axis=1) == labels).mean(axis=1)

    def numpy(self):
        """The weights now, by name."""
        return {name: value.numpy() for name, value in self.weights.items()}

    def _train_on(self, symbols, labels):
        variables = list(self.weights.values())
        with tf.GradientTape() as tape:
            logits = self.logits(symbols)
            labels = tf.broadcast_to(labels, tf.shape(logits)[:2])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
        self.optimizer.apply(tape.gradient(loss, variables), variables)

    def _run(self, x, kernel, recurrent, bias):
        """One layer over all steps: `[networks, strings, steps, units]`."""
        bias = bias if self.cell == "gru" else bias[:, None]
        inputs = tf.einsum("gbti,gij->gbtj", x, kernel) + bias[:, 0][:, None, None]
        state = memory = tf.zeros_like(inputs[:, :, 0, :UNITS])
        outputs = []
        for step in tf.unstack(inputs, axis=2):
            product = state @ recurrent
            if self.cell == "gru":
                state = _gru(step, product + bias[:, 1][:, None], state)
            elif self.cell == "lstm":
                state, memory = _lstm(step + product, memory)
            else:
                state = (tf.tanh if self.cell == "tanh" else tf.nn.relu)(step + product)
            outputs.append(state)
        return tf.stack(outputs, axis=2)


def _gru(inputs, product, state):
    z, r, n = tf.split(inputs, 3, axis=2)
    z_state, r_state, n_state = tf.split(product, 3, axis=2)
    z = tf.sigmoid(z + z_state)
    return z * state + (1 - z) * tf.tanh(n + tf.sigmoid(r + r_state) * n_state)


def _lstm(gates, memory):
    i, f, c, o = tf.split(gates, 4, axis=2)
    memory = tf.sigmoid(f) * memory + tf.sigmoid(i) * tf.tanh(c)
    return tf.sigmoid(o) * tf.tanh(memory), memory


def _one(cell, generator):
    gates = GATES[cell]
    # As in PyTorch; Keras's embedding begins twenty times smaller, and learns that much later.
    weights = {"embedding": generator.normal(size=(len(SYMBOLS), UNITS))}
    for layer in range(LAYERS):
        weights[f"kernel{layer}"] = _glorot(generator, UNITS, gates * UNITS)
        q, r = np.linalg.qr(generator.normal(size=(gates * UNITS, UNITS)))
        weights[f"recurrent{layer}"] = (q * np.sign(np.diag(r))).T
        bias = np.zeros((2, gates * UNITS) if cell == "gru" else gates * UNITS)
        if cell == "lstm":
            bias[UNITS : 2 * UNITS] = 1  # the forget gate's
        weights[f"bias{layer}"] = bias
    weights["head"], weights["head_bias"] = _glorot(generator, UNITS, 2), np.zeros(2)
    return weights


def _glorot(generator, inputs, outputs):
    limit = np.sqrt(6 / (inputs + outputs))
    return generator.uniform(-limit, limit, (inputs, outputs))
