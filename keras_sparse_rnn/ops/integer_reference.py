"""int8 activations in plain TensorFlow: what is rounded to integers, and how they are multiplied.

The arithmetic of `KSR_INT8` in native/core/ksr.h. What a kernel is multiplied with is rounded to
integers from -127 to 127; products and their sums are exact; a sum times the scale of its output
times what an integer stands for is a float again. Biases, gates and the states themselves are
floats, as they are without.

- The **state** is rounded to 127ths where tanh and sigmoid keep it between -1 and 1; what an
  initial state has beyond counts as 1. So is `r * h` of a GRU with `reset_after=False`. A state
  without such a bound (relu) is rounded as inputs are, by its largest number.
- **Inputs**: 127 stands for `input_range`, and larger inputs count as it; with 0, for the largest
  number of each step of each sample.

NaN counts as the least number and infinity as the largest one, as in the core."""

import tensorflow as tf

from keras_sparse_rnn.ops import pairs
from keras_sparse_rnn.ops.choice import activation_name
from keras_sparse_rnn.ops.packing import unpack
from keras_sparse_rnn.ops.tracing import under_xla

_BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign", "hard_tanh")
_GATES = ("sigmoid", "hard_sigmoid")
_LARGEST, _SMALLEST = 3.0e38, 1.0e-30


def state_range(activation, recurrent_activation="sigmoid"):
    """What 127 stands for in a state: 1 if the activations bound it, else 0, its largest number."""
    bounded = activation_name(activation) in _BOUNDED
    return 1.0 if bounded and activation_name(recurrent_activation) in _GATES else 0.0


def round_to_integers(x, largest):
    """`x` `[..., numbers]` as whole numbers from -127 to 127 of the same dtype, and what 1 stands
    for.

    Args:
        x: float tensor.
        largest: what 127 stands for; 0: the largest number of each row, in absolute value.
    """
    if largest:
        size = tf.constant(largest, x.dtype)
    else:
        numbers = tf.where(tf.math.is_nan(x), tf.zeros_like(x), tf.abs(x))
        size = tf.minimum(tf.reduce_max(numbers, axis=-1, keepdims=True), _LARGEST)
    steps = x * tf.where(size < _SMALLEST, tf.zeros_like(size), 127.0 / size)
    integers = tf.round(tf.clip_by_value(steps, -127.0, 127.0))
    return tf.where(tf.math.is_nan(steps), -127.0 * tf.ones_like(x), integers), size / 127.0


class IntegerKernel:
    """An int8 kernel that rounds what it is multiplied with: it takes the place of a dense kernel
    `[inputs, outputs]` in `ops.equations`.

    Args:
        integers: whole numbers, float64, so that the sums of their products are exact.
        scales: `[outputs]`, of the dtype of the inputs: what 1 stands for.
        largest: what 127 stands for in the inputs, or 0; see `round_to_integers`.
    """

    def __init__(self, integers, scales, largest):
        self.integers, self.scales, self.largest = integers, scales, largest

    @classmethod
    def of(cls, packed, largest, dtype, name):
        """That of a checked `PackedKernel` of int8 values. Errors call it `name`.

        Raises:
            ValueError: two weights that are a pair are too large together. Numbers that are known
                only when a graph runs are checked then, with a `tf.errors.InvalidArgumentError`,
                but for XLA, which cannot raise.
        """
        values = tf.cast(packed.values, tf.float64)
        with tf.control_dependencies(_checked_pairs(packed, name)):
            integers = unpack(values, packed.blocks, packed.grid, f"{name}_blocks")
        grid = packed.grid
        scales = tf.reshape(tf.cast(packed.scales, dtype), (grid.gates, -1))[:, : grid.units]
        return cls(integers, tf.reshape(scales, (-1,)), largest)

    @property
    def shape(self):
        return self.integers.shape

    def __getitem__(self, index):
        """Some of the outputs: `kernel[:, outputs]`."""
        _, outputs = index
        return IntegerKernel(self.integers[index], self.scales[outputs], self.largest)

    def times(self, x):
        """`x` `[..., inputs]`, rounded, times the kernel."""
        rounded, unit = round_to_integers(x, self.largest)
        sums = tf.tensordot(tf.cast(rounded, tf.float64), self.integers, 1)
        return tf.cast(sums, x.dtype) * (self.scales * unit)


def _checked_pairs(packed, name):
    """Raises the error of `IntegerKernel.of`, or returns the operations that will."""
    start = (
        f"The int8 weights of the {name} must be quantised for int8 activations (the argument "
        "`activations` of `ops.quantize` and `ksr.substitute`), so that the sum of two that are a "
        f"pair is from -{pairs.MOST_OF_PAIR} to {pairs.MOST_OF_PAIR}. Received: a pair whose sum "
        "is, without its sign, "
    )
    if under_xla():
        return []
    found = pairs.largest_sum(packed)
    known = tf.get_static_value(found)
    if known is None:
        right = found <= pairs.MOST_OF_PAIR
        return [tf.debugging.Assert(right, [tf.strings.join([start, tf.strings.as_string(found)])])]
    if known > pairs.MOST_OF_PAIR:
        raise ValueError(f"{start}{known}")
    return []
