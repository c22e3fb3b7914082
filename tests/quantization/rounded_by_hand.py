"""The denoising transform in float64 NumPy, output by output, with loops."""

import numpy as np


def step_of(weights, bits, form, best):
    """`(step, low)` of live weights `[live]`, of fewer than 8 bits in the linear form."""
    if form == "affine":
        most = 2**bits - 1
        even = (weights.max() - weights.min()) / most
        step = min(even, best[2**bits] * weights.std())
        return step, weights.mean() - step * most / 2 if step < even else weights.min()
    if bits == 1:
        return np.abs(weights).mean(), 0.0
    most = 2 ** (bits - 1) - 1
    size = np.sqrt((weights**2).mean())
    return min(np.abs(weights).max() / most, best[2 * most + 1] * size), 0.0


def integers_of(weights, bits, form, step, low):
    if form == "affine":
        return np.clip(np.round((weights - low) / step), 0, 2**bits - 1)
    if bits == 1:
        return np.sign(weights)
    most = 2 ** (bits - 1) - 1
    return np.clip(np.round(weights / step), -most, most)


def denoised(weights, delta, step, low, form, ridge):
    """What `weights` `[numbers]` become when rounding adds `delta` to `weights / step`."""
    q = (weights - low) / step + delta
    if form == "linear":
        return (q @ weights) / (q @ q + ridge) * q
    slope = ((weights - weights.mean()) * (q - q.mean())).mean() / (q.var() + ridge)
    return slope * (q - q.mean()) + weights.mean()


def difference_quotients(function, x, width=1e-6):
    """The gradient of a function of an array to a number."""
    result = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * width
            result[place] += sign * function(moved) / (2 * width)
    return result
