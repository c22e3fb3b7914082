"""The L1 penalty that compares with `Moduli`: a mean, where Keras's is a sum."""

import keras
import tensorflow as tf

from keras_sparse_rnn.regularizers.regularizer import Regularizer, working_dtype


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class MeanL1(Regularizer):
    """The mean size of a weight: `Moduli` without geometry, its inhibition 1 everywhere. The
    control to run beside it.

        penalty  = strength * mean |w|
        gradient = strength * sign(w) / N,  N weights in the kernel, all gates together

    Beside a `Moduli` whose inhibition is 70 on average, as about that of the default inhibitor is
    (`moduli.matrix(units).mean()` says it), a `MeanL1` of 70 times its strength pulls at the
    weights as hard. `keras.regularizers.L1(strength / N)` is the same penalty; `GroupLasso` of
    blocks (1, 1) is `N` times it.

    >>> float(MeanL1(0.5)(tf.constant([[1.0, -3.0]])))
    1.0

    Args:
        strength: a number of at least 0.

    Raises:
        ValueError: `strength` is out of its range.
    """

    def __init__(self, strength):
        super().__init__(strength)

    def penalty(self, kernel, gates):
        return tf.reduce_mean(tf.abs(kernel))

    def of_packed(self, values, blocks, grid):
        total = tf.reduce_sum(tf.abs(tf.cast(values, working_dtype(values.dtype))))
        return self._scaled(total / (grid.inputs * grid.gates * grid.units))

    def get_config(self):
        return {"strength": super().get_config()["strength"]}
