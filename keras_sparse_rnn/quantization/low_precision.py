"""How a layer rounds what it trains with."""

import numbers

import keras
import tensorflow as tf

from keras_sparse_rnn.ops import pairs
from keras_sparse_rnn.ops.integer_reference import round_to_integers
from keras_sparse_rnn.patterns import check_choice, check_sparsity
from keras_sparse_rnn.quantization import rounding
from keras_sparse_rnn.schedules.schedule import check_number

METHODS = ("denoising", "straight_through")
FORMS = ("linear", "affine")


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class LowPrecision:
    """Weights, and if wanted activations, of few bits in training: the argument `low_precision` of
    the block-sparse layers and of `ksr.substitute`.

    The layer computes with rounded weights, in training and in inference; the optimizer trains the
    float weights behind them. Weights are rounded output by output, the live ones of a gate's
    output together; activations at each step of each sample. The formulas, with their gradients,
    are those of Ye et al., *Robust Training of Neural Networks at Arbitrary Precision and
    Sparsity* (arXiv 2409.09245 v3); see `keras_sparse_rnn.quantization.rounding`.

    - `form="linear"`: integers of both signs, one scale. This is what the int8 cells compute, so
      `ksr.substitute(model, weights="int8", activations="int8")` takes the integers and scales as
      they are. With 2 bits the integers are -1, 0 and 1, with 1 bit -1 and 1.
    - `form="affine"`: integers from 0 on, a scale and an offset. More accurate with 1 and 2 bits;
      but the offset times the sum of the inputs is added to each output at each step, which the
      int8 cells do not do, so such weights are deployed in float32. Weights in dead blocks, and
      single zeros, stay zero.

    Integers of 8 bits keep the bounds of the int8 cells (docs/quantised.md): two neighbouring
    weights have a sum of at most 129. Activations of 8 bits in the linear form are those of the
    cells to the bit: 127 stands for the largest input of the step, and for 1 in the state of tanh
    cells; only their gradient is that of the method.

    Args:
        weight_bits: from 1 to 8.
        activation_bits: from 1 to 8, of inputs and states; None leaves them float32. Then the
            native ops train, else plain TensorFlow does, step by step.
        method: `"denoising"`; or, to compare with, `"straight_through"`: the same integers times
            their step, with the gradient of the float weights.
        form: `"linear"` or `"affine"`.
        ridge: of the regression, a number of at least 0, in units of the integers' squares: added
            to their sum in the linear form, to their variance in the affine one.
        sparsity: fraction of the blocks of each gate that are left out in each call: those whose
            largest weight is least; a gate keeps one at least. They keep their float weights and
            their gradient, and may come back (but where an output has no block left); the
            regression is to all weights. It needs `storage="masked"` and the linear form, and takes
            the time of a dense layer. (`BlockPruning` prunes for good, with 0 here.)

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        weight_bits=8,
        activation_bits=None,
        method="denoising",
        form="linear",
        ridge=0.01,
        sparsity=0.0,
    ):
        self.weight_bits = _check_bits(weight_bits, "weight_bits", "")
        self.activation_bits = (
            None
            if activation_bits is None
            else _check_bits(activation_bits, "activation_bits", ", or None")
        )
        self.method = check_choice(method, METHODS, "method")
        self.form = check_choice(form, FORMS, "form")
        self.ridge = float(check_number(ridge, "ridge", least=0))
        self.sparsity = check_sparsity(sparsity)
        if self.sparsity and form == "affine":
            raise ValueError(
                '`form` must be "linear" with a `sparsity`: the affine form gives blocks that are '
                f"left out an offset. Received: form={form!r}, sparsity={sparsity!r}"
            )

    def kernel(self, packed):
        """The kernel that a layer computes with: a `PackedKernel` of float values with a gradient.

        Args:
            packed: `PackedKernel` of float values: the live blocks, or with a `sparsity` all.
        """
        x, kept = packed.values, self.kept(packed)
        group = rounding.Outputs(kept)
        if self.form == "affine":
            integers, steps, low = rounding.affine_integers(x, self.weight_bits, group)
            if self.method == "denoising":
                values = rounding.denoised_affine(x, integers, steps, self.ridge, group)
            else:
                values = group.spread(steps) * integers + group.spread(low)
                values = rounding.straight_through(x, values * group.alive)
            return packed._replace(values=values)
        integers, steps = self._linear_integers(kept, group)
        if self.method == "denoising":
            values = rounding.denoised_linear(x, integers, steps, self.ridge, group)
        else:
            values = rounding.straight_through(x, group.spread(steps) * integers)
        return packed._replace(values=values)

    def integers(self, packed):
        """The same kernel as int8 cells hold it: a `PackedKernel` of int8 values with their scales.

        Raises:
            ValueError: of the affine form, whose offsets these cells do not have.
        """
        if self.form == "affine":
            raise ValueError(
                'weights of `form="affine"` have offsets, which int8 weights have not: train with '
                '`form="linear"` for int8, or deploy in float32'
            )
        kept = self.kept(packed)
        group = rounding.Outputs(kept)
        integers, scales = self._linear_integers(kept, group)
        if self.method == "denoising":
            _, scales = rounding.denoised_scale(packed.values, integers, scales, self.ridge, group)
        grid = packed.grid
        scales = tf.reshape(scales, (grid.gates, grid.columns, grid.block_shape[1]))
        return packed._replace(
            values=tf.cast(integers, tf.int8), scales=tf.cast(scales, tf.float32)
        )

    def inputs(self, x, largest=0.0):
        """What a layer multiplies with: `x` `[..., numbers]` rounded, with a gradient.

        Args:
            x: float tensor.
            largest: with 8 bits in the linear form, what 127 stands for; 0: the largest number of
                each row.
        """
        bits, group = self.activation_bits, rounding.Rows(x)
        if self.form == "affine":
            integers, steps, low = rounding.affine_integers(x, bits, group)
            if self.method == "denoising":
                return rounding.denoised_affine(x, integers, steps, self.ridge, group)
            return rounding.straight_through(x, steps * integers + low)
        if bits == 8:
            integers, steps = round_to_integers(tf.stop_gradient(x), largest)
        else:
            integers, steps = rounding.linear_integers(x, bits, group)
        if self.method == "straight_through":
            return rounding.straight_through(x, steps * integers)
        denoised = rounding.denoised_linear(x, integers, steps, self.ridge, group)
        if bits == 8:  # the cells have no other scale than the step
            return rounding.straight_through(denoised, steps * integers)
        return denoised

    def get_config(self):
        return {
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "method": self.method,
            "form": self.form,
            "ridge": self.ridge,
            "sparsity": self.sparsity,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(other) is type(self) and other.get_config() == self.get_config()

    def __hash__(self):
        return hash(tuple(self.get_config().values()))

    def __repr__(self):
        usual = LowPrecision().get_config()
        arguments = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if name == "weight_bits" or value != usual[name]
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"

    def kept(self, packed):
        """A packed kernel without the blocks that `sparsity` leaves out, not rounded."""
        if not self.sparsity:
            return packed
        grid = packed.grid
        of_gate = grid.columns * grid.rows
        sizes = tf.reduce_max(tf.abs(tf.stop_gradient(packed.values)), axis=(1, 2))
        live = max(1, of_gate - round(self.sparsity * of_gate))
        _, best = tf.math.top_k(tf.reshape(sizes, (grid.gates, of_gate)), live)
        keep = tf.reduce_sum(tf.one_hot(best, of_gate, dtype=packed.values.dtype), axis=1)
        values = packed.values * tf.reshape(keep, (-1, 1, 1))
        return packed._replace(values=values)

    def _linear_integers(self, packed, group):
        """`rounding.linear_integers` of weights. Those of 8 bits keep the bound of pairs."""
        if self.weight_bits < 8:
            return rounding.linear_integers(packed.values, self.weight_bits, group)
        values = tf.stop_gradient(packed.values)
        packed = packed._replace(values=values)
        if packed.grid.block_shape[0] % 2:  # the pairs of single rows are those of live ones
            live = tf.where(tf.reduce_any(values != 0, axis=(1, 2)))
            some = packed._replace(
                values=tf.gather_nd(values, live), blocks=tf.gather_nd(packed.blocks, live)
            )
            integers, steps = pairs.rounded(some)
            integers = tf.scatter_nd(live, integers, tf.shape(values, live.dtype))
        else:
            integers, steps = pairs.rounded(packed)
        steps = tf.reshape(steps, (-1, packed.grid.block_shape[1]))
        return tf.cast(integers, values.dtype), tf.cast(steps, values.dtype)


def check_low_precision(low_precision, storage, weights):
    """Returns `low_precision`, a `LowPrecision` or None, or raises a `ValueError`: it does not suit
    a layer of that `storage` and type of `weights`.
    """
    if low_precision is None:
        return None
    if not isinstance(low_precision, LowPrecision):
        raise ValueError(
            "`low_precision` must be a ksr.quantization.LowPrecision or None. Received: "
            f"low_precision={low_precision!r}"
        )
    if weights != "float32":
        raise ValueError(
            '`weights` must be "float32" with `low_precision`, which trains float weights: '
            "substitute the trained model with these weights. Received: "
            f"weights={weights!r}, low_precision={low_precision!r}"
        )
    if low_precision.sparsity and storage != "masked":
        raise ValueError(
            '`storage` must be "masked" with a `low_precision` of some `sparsity`, for blocks that '
            f"are left out keep their weights. Received: storage={storage!r}, "
            f"low_precision={low_precision!r}"
        )
    return low_precision


def _check_bits(bits, name, others):
    integer = isinstance(bits, numbers.Integral) and not isinstance(bits, bool)
    if not integer or not 1 <= bits <= 8:
        raise ValueError(
            f"`{name}` must be an integer from 1 to 8{others}. Received: {name}={bits!r}"
        )
    return int(bits)
