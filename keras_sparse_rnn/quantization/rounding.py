"""Rounding to few bits with a gradient: the denoising transform of arXiv 2409.09245 (v3), and
straight-through estimation beside it.

Numbers `x` of a group are rounded to integers `q` with a step `d` that is a constant of the group:

    q = f(x) + delta,   f(x) = x / d,   delta = round(f(x)) - f(x)

`delta` is detached: for the gradient, rounding is adding a constant. Then `x` is regressed on `q`,
and **the gradient goes through the regression**:

    linear:   s = <q, x> / (<q, q> + ridge),                  x' = s q
    affine:   a = Cov(x, q) / (Var(q) + ridge),               x' = a (q - mean(q)) + mean(x)

So the error of the rounding comes back to the weights, where straight-through estimation (`x' =
d q`, the gradient that of `x`) does not see it. As the ridge keeps the denominator from zero, so it
keeps the gradient finite.

Every value here is exact (integers are whole numbers): what has a gradient only is added as the
difference of itself and its own detached value, which is zero."""

import tensorflow as tf

# The step, as a multiple of the root mean square, at which rounding normally distributed numbers to
# so many levels leaves the least squared error (Max 1960, table I and II). Few levels must not be
# spread over the largest number: two bits would round nearly everything to zero.
STEPS = {
    2: 1.5958,
    3: 1.2240,
    4: 0.9957,
    7: 0.6508,
    8: 0.5860,
    15: 0.3534,
    16: 0.3352,
    31: 0.1932,
    32: 0.1881,
    63: 0.1055,
    64: 0.1041,
    127: 0.0573,
    128: 0.0569,
    256: 0.0308,
}


class Rows:
    """Groups of activations: the numbers of the last axis, at one step of one sample."""

    def __init__(self, x):
        self.alive = tf.ones_like(x)

    def total(self, x):
        """The sum of each group."""
        return tf.reduce_sum(x, axis=-1, keepdims=True)

    def largest(self, x):
        """The largest number of each group."""
        return tf.reduce_max(x, axis=-1, keepdims=True)

    def spread(self, x):
        """One number a group, beside each of its numbers."""
        return x


class Outputs:
    """Groups of weights: those of one output in the live blocks of a `PackedKernel`. Weights that
    are zero were pruned, or are padding: they do not count, and stay zero.
    """

    def __init__(self, packed):
        self.alive = tf.cast(packed.values != 0, packed.values.dtype)
        self.columns = tf.cast(packed.blocks, tf.int32) // packed.grid.rows
        self.count = packed.grid.gates * packed.grid.columns

    def total(self, x):
        sums = tf.reduce_sum(x, axis=1)
        return tf.math.unsorted_segment_sum(sums, self.columns, self.count)

    def largest(self, x):
        most = tf.math.unsorted_segment_max(tf.reduce_max(x, axis=1), self.columns, self.count)
        return tf.maximum(most, tf.zeros((), x.dtype))  # without a live block: the least number

    def spread(self, x):
        return tf.gather(x, self.columns)[:, None, :]


def mean(x, group):
    """The mean of each group, of what is alive."""
    return tf.math.divide_no_nan(group.total(x * group.alive), group.total(group.alive))


def linear_integers(x, bits, group):
    """Rounds to integers of both signs, `2 ** (bits - 1) - 1` at most; to the sign with one bit.

    Args:
        x: float tensor.
        bits: from 1 to 8.
        group: the groups of `x`.

    Returns:
        Integers, of the dtype of `x`, and the step of each group. Neither has a gradient.
    """
    x = tf.stop_gradient(x)
    if bits == 1:
        return tf.sign(x), mean(tf.abs(x), group)
    most = 2.0 ** (bits - 1) - 1
    best = STEPS[2 * int(most) + 1] if bits < 8 else float("inf")
    size = tf.sqrt(mean(x * x, group))
    steps = group.largest(tf.abs(x)) / most
    steps = tf.minimum(steps, best * size) if bits < 8 else steps
    integers = tf.round(tf.math.divide_no_nan(x, group.spread(steps)))
    return tf.clip_by_value(integers, -most, most), steps


def affine_integers(x, bits, group):
    """Rounds to integers from 0 to `2 ** bits - 1`.

    Args:
        x, bits, group: as in `linear_integers`.

    Returns:
        Integers, the step of each group, and what 0 stands for. None of them has a gradient.
    """
    x = tf.stop_gradient(x)
    most = 2.0**bits - 1
    middle = mean(x, group)
    away = (x - group.spread(middle)) * group.alive
    size = tf.sqrt(mean(away * away, group))
    # The largest number and the negated least one: zeros, which do not count, take no part in them.
    far = tf.where(group.alive > 0, x, tf.fill(tf.shape(x), x.dtype.min))
    high = group.largest(far)
    far = tf.where(group.alive > 0, -x, tf.fill(tf.shape(x), x.dtype.min))
    low = -group.largest(far)
    even = (high - low) / most
    steps = tf.minimum(even, STEPS[2**bits] * size)
    low = tf.where(steps < even, middle - steps * most / 2, low)
    integers = tf.math.divide_no_nan(x - group.spread(low), group.spread(steps))
    return tf.clip_by_value(tf.round(integers), 0.0, most) * group.alive, steps, low


def denoised_scale(x, integers, steps, ridge, group):
    """The linear form: the integers, with the gradient of `f(x)`, and the scale of each group."""
    integers = _like(integers, tf.math.divide_no_nan(x, group.spread(steps)))
    products, squares = group.total(integers * x), group.total(integers * integers)
    return integers, tf.math.divide_no_nan(products, squares + ridge)


def denoised_linear(x, integers, steps, ridge, group):
    """`x'` of the linear form, of integers and steps of `linear_integers`."""
    integers, scales = denoised_scale(x, integers, steps, ridge, group)
    return group.spread(scales) * integers


def denoised_affine(x, integers, steps, ridge, group):
    """`x'` of the affine form, of integers and steps of `affine_integers`."""
    integers = _like(integers, tf.math.divide_no_nan(x, group.spread(steps)))
    middle = mean(x, group)
    x = (x - group.spread(middle)) * group.alive
    integers = (integers - group.spread(mean(integers, group))) * group.alive
    products, squares = mean(x * integers, group), mean(integers * integers, group)
    slopes = tf.math.divide_no_nan(products, squares + ridge)
    return group.spread(slopes) * integers + group.spread(middle) * group.alive


def straight_through(x, values):
    """`values`, with the gradient of `x`."""
    return _like(values, x)


def _like(value, x):
    """`value`, exactly, with the gradient of `x`."""
    return tf.stop_gradient(value) + (x - tf.stop_gradient(x))
