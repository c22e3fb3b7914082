"""Which units of a small network matter, by trying: float64, NumPy, no graph."""

import numpy as np

KINDS = ("lstm", "gru", "gru before", "simple")
GATES = {"lstm": 4, "gru": 3, "gru before": 3, "simple": 1}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(kind, weights, x, h, c):
    """The next `h` and `c` of a Keras cell with its default activations."""
    kernel, recurrent, bias = weights
    units = len(recurrent)
    own, other = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    x, u = x @ kernel + own, h @ recurrent + other
    if kind == "simple":
        return np.tanh(x + u), c
    gate = [slice(n * units, (n + 1) * units) for n in range(GATES[kind])]
    if kind == "lstm":
        i, f, o = (sigmoid((x + u)[:, gate[n]]) for n in (0, 1, 3))
        c = f * c + i * np.tanh((x + u)[:, gate[2]])
        return o * np.tanh(c), c
    z, r = (sigmoid((x + u)[:, gate[n]]) for n in (0, 1))
    inner = r * u[:, gate[2]] if kind == "gru" else (r * h) @ recurrent[:, gate[2]]
    return z * h + (1 - z) * np.tanh(x[:, gate[2]] + inner), c


def run(layers, head, x, replaced=None):
    """What the head gives at all steps, and the states of each layer, `[samples, steps, units]`.

    Args:
        layers: list of `(kind, weights)`.
        head: the kernel and the bias of the last layer.
        x: `[samples, steps, inputs]`.
        replaced: `(layer, unit, values)`: what the unit is in place of what it computes, `[samples,
            1 + steps]`, its initial state first.
    """
    states = []
    for number, (kind, weights) in enumerate(layers):
        h = np.zeros((len(x), len(weights[1])))
        c, seen = h.copy(), []
        for time in range(1 + x.shape[1]):
            if time:
                h, c = step(kind, weights, x[:, time - 1], h, c)
            if replaced and replaced[0] == number:
                h = h.copy()
                h[:, replaced[1]] = replaced[2][:, time]
            seen.append(h)
        x = np.stack(seen[1:], axis=1)
        states.append(x)
    return x @ head[0] + head[1], states


def units_that_matter(layers, head, x):
    """The numbers of the units of each layer that cannot be replaced by a constant."""
    generator = np.random.default_rng(0)
    outputs, states = run(layers, head, x)
    matter = []
    for number, state in enumerate(states):
        matter.append([])
        for unit in range(state.shape[-1]):
            own = state[..., unit]
            tries = [generator.normal(size=(len(x), 1 + x.shape[1]))]
            if np.ptp(own) < 1e-13:
                tries.append(np.full_like(tries[0], own[0, 0]))
            changes = [
                np.abs(run(layers, head, x, (number, unit, one))[0] - outputs).max()
                for one in tries
            ]
            if min(changes) > 1e-13:
                matter[-1].append(unit)
    return matter
