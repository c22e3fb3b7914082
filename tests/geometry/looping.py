"""The recurrent layers, and what is made of their states, in float64 and explicit loops."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def step(kind, x, states, kernel, recurrent, bias):
    """One step of one sequence: the new states, the hidden one first."""
    h = states[0]
    if kind == "simple_rnn":
        return [np.tanh(x @ kernel + h @ recurrent + bias)]
    if kind == "lstm":
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    inner, outer = bias if kind == "gru" else (bias, np.zeros_like(bias))
    xz, xr, xn = np.split(x @ kernel + inner, 3)
    hz, hr, hn = np.split(h @ recurrent + outer, 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    n = xn + r * hn if kind == "gru" else xn + (r * h) @ np.split(recurrent, 3, axis=1)[2]
    return [z * h + (1 - z) * np.tanh(n)]


def states_of(kind, weights, x, mask=None, backwards=False):
    """`(hidden states, inputs)` of all steps that are not masked, of all sequences `x` `[batch,
    steps, inputs]`: two matrices.
    """
    weights = [np.asarray(weight, np.float64) for weight in weights]
    units = len(weights[1])
    hidden, inputs = [], []
    for number, sequence in enumerate(np.asarray(x, np.float64)):
        states = [np.zeros(units)] * 2
        order = range(len(sequence))
        for t in reversed(order) if backwards else order:
            if mask is None or mask[number, t]:
                states = step(kind, sequence[t], states, *weights)
                hidden.append(states[0])
                inputs.append(sequence[t])
    return np.array(hidden), np.array(inputs)


def covariance(samples):
    mean = samples.sum(axis=0) / len(samples)
    result = np.zeros((samples.shape[1],) * 2)
    for sample in samples:
        for i in range(len(mean)):
            for j in range(len(mean)):
                result[i, j] += (sample[i] - mean[i]) * (sample[j] - mean[j]) / len(samples)
    return result


def leading(matrix, share):
    """`(variances, directions)` of the fewest directions that hold `share` of the variance, largest
    first.
    """
    variances, directions = np.linalg.eigh(matrix)
    kept, total = [], 0.0
    for number in reversed(range(len(variances))):
        kept.append(number)
        total += variances[number]
        if total >= share * variances.sum():
            break
    return variances[kept], directions[:, kept]


def weight_scores(weights, source, directions, variances=None):
    """`|w_ij|` times what the source has, in the subspace if `variances` are given, times what of
    the target lies in it.
    """
    units = len(directions)
    result = np.zeros(weights.shape)
    for i in range(weights.shape[0]):
        variance = (
            source[i, i]
            if variances is None
            else sum(v * directions[i, k] ** 2 for k, v in enumerate(variances))
        )
        for j in range(weights.shape[1]):
            inside = sum(directions[j % units, k] ** 2 for k in range(directions.shape[1]))
            result[i, j] = abs(weights[i, j]) * np.sqrt(variance) * np.sqrt(inside)
    return result


def block_scores(weights, samples, directions, block_shape):
    """The variance of what each block writes into the subspace, from the `samples` that it reads,
    for each of its weights: `[gates, columns, rows]`.
    """
    units, (height, width) = len(directions), block_shape
    scores = []
    for gate in range(weights.shape[1] // units):
        for first in range(0, units, width):
            for top in range(0, weights.shape[0], height):
                columns, rows = (
                    np.arange(first, min(first + width, units)),
                    np.arange(top, min(top + height, weights.shape[0])),
                )
                written = np.zeros((len(samples), units))
                written[:, columns] = (
                    samples[:, rows] @ weights[np.ix_(rows, gate * units + columns)]
                )
                inside = written @ directions
                scores.append(
                    np.sum((inside - inside.mean(axis=0)) ** 2)
                    / len(samples)
                    / (len(columns) * len(rows))
                )
    return np.array(scores).reshape(-1, -(-units // width), -(-weights.shape[0] // height))
