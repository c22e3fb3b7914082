"""What all regularizers share: a strength that can change while the model trains, and the gates of
the kernel.
"""

import keras
import tensorflow as tf

from keras_sparse_rnn.regularizers.gates import SeesGates, check_gates, find_gates
from keras_sparse_rnn.schedules.schedule import check_number


class Regularizer(SeesGates, keras.regularizers.Regularizer):
    """A penalty `strength * penalty(kernel, gates)` on a kernel `[inputs, gates * units]`.

    A subclass defines `penalty`, takes `strength` as an argument, and registers itself with
    `keras.saving.register_keras_serializable`. One instance may serve any number of layers.

    `strength` is a scalar variable, so that it can be changed inside a compiled `fit`: by
    `callbacks.StrengthSchedule`, or by hand with `regularizer.strength.assign(1e-4)`. It belongs to
    no layer: it is not among the weights of a model and not in its checkpoints. A config has the
    number that the constructor was given.

    Args:
        strength: what the penalty is multiplied with, a number of at least 0.
        gates: how many gates stand side by side in the kernel: 4 in an LSTM, 3 in a GRU, else 1.
            `None`: it is found out where that is possible (see `gates.find_gates`).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, strength, gates=None):
        self._strength = float(check_number(strength, "strength", least=0))
        self.gates = check_gates(gates)
        self.strength = strength_variable(self._strength)

    def __call__(self, kernel, gates=None):
        """The penalty of one kernel, a scalar of the kernel's dtype (of float32 for a kernel of
        half precision).

        Args:
            kernel: `[inputs, gates * units]`. Best the layer's own variable, as Keras passes it,
                which tells its gates.
            gates: how many it has, for a caller that knows it. The argument of the constructor
                comes first.
        """
        gates = self.gates or gates or find_gates(kernel)
        kernel = tf.convert_to_tensor(kernel)
        return self._scaled(self.penalty(tf.cast(kernel, working_dtype(kernel.dtype)), gates))

    def penalty(self, kernel, gates):
        """The penalty at strength 1, a scalar tensor.

        Args:
            kernel: float32 or float64 tensor `[inputs, gates * units]`.
            gates: an int, or `None` if it was not given and cannot be told from the kernel.
        """
        raise NotImplementedError

    def of_packed(self, values, blocks, grid):
        """The penalty, times the strength, of a packed kernel; `None` if it takes the dense one to
        compute it, which is then given.

        Args:
            values: float tensor `[live, block rows, block columns]`, zero where a partial block
                lies outside the kernel.
            blocks: int32 `[live]`, the numbers of the blocks.
            grid: the `BlockGrid` of the kernel.
        """
        return None

    def get_config(self):
        return {"strength": self._strength, "gates": self.gates}

    def _scaled(self, penalty):
        return tf.cast(self.strength, penalty.dtype) * penalty


def strength_variable(strength):
    """A scalar variable of the value `strength`, in float64 so that it is the number that was
    given.
    """
    with tf.init_scope():  # layers may be made anywhere, also while a graph is traced
        return keras.Variable(
            lambda shape, dtype: tf.constant(strength, dtype),
            (),
            "float64",
            trainable=False,
            autocast=False,
            name="strength",
        )


def working_dtype(dtype):
    """The dtype in which norms of weights of `dtype` are computed: half precision has too few
    digits and too small a range for sums of squares.
    """
    return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32
