"""Regularizers and constraints of a dense kernel, as the variables of block-sparse layers need
them.

They stand on variables only, never in a layer's config, so they are not registered for saving.
Keras before 3.15 takes nothing on a variable but instances of its own classes.
"""

import keras
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.regularizers import Regularizer
from keras_sparse_rnn.regularizers.gates import SeesGates


def _seeing_gates(function, kernel, grid):
    """What a regularizer or constraint makes of a dense `kernel`. Those of this package are told
    its gates, which a tensor does not tell.
    """
    return (
        function(kernel, gates=grid.gates) if isinstance(function, SeesGates) else function(kernel)
    )


class DenseRegularizer(keras.regularizers.Regularizer):
    """Shows a regularizer of the dense kernel the dense kernel."""

    def __init__(self, regularizer, blocks, grid):
        self.regularizer = regularizer
        self.blocks = blocks
        self.grid = grid

    def __call__(self, values):
        values, blocks = tf.convert_to_tensor(values), tf.convert_to_tensor(self.blocks)
        packed = (
            self.regularizer.of_packed(values, blocks, self.grid)
            if isinstance(self.regularizer, Regularizer)
            else None
        )
        return (
            _seeing_gates(self.regularizer, ops.unpack(values, blocks, self.grid), self.grid)
            if packed is None
            else packed
        )


class MaskedRegularizer(keras.regularizers.Regularizer):
    """Shows a regularizer of this package the live blocks that a masked layer has packed, instead
    of the dense kernel: the same penalty and gradient, for a tenth of the time at 90 %.

    The layer calls `remember` when it packs in a training call. In a graph, the next penalty of the
    same graph is computed from these blocks, and its gradient joins theirs before it is written
    into a dense one. Elsewhere, and for regularizers of blocks that do not divide the layer's, the
    dense kernel is seen. So call the layer under the gradient tape under which its losses are
    computed, as `fit` does.

    Args:
        regularizer: a `Regularizer`.
        grid: the `BlockGrid` of the kernel.
    """

    def __init__(self, regularizer, grid):
        self.regularizer = regularizer
        self.grid = grid
        self._packed = None

    def remember(self, packed):
        """Takes the `ops.PackedKernel` of the call that is being traced. Replicas trace side by
        side and must not take each other's.
        """
        self._packed = None if tf.executing_eagerly() or tf.distribute.has_strategy() else packed

    def __call__(self, kernel):
        packed, self._packed = self._packed, None  # once: after it, the weights may have changed
        penalty = None
        if packed is not None and packed.values.graph is tf.compat.v1.get_default_graph():
            penalty = self.regularizer.of_packed(packed.values, packed.blocks, self.grid)
        return self.regularizer(kernel, gates=self.grid.gates) if penalty is None else penalty


class PackedConstraint(keras.constraints.Constraint):
    """Applies a constraint of the dense kernel to packed values, and keeps the padding of partial
    blocks zero whatever an optimiser does.

    Args:
        constraint: of the dense kernel `[inputs, gates * units]`, or None.
        blocks: the variable of the block numbers.
        grid: the `BlockGrid` of the kernel.
    """

    def __init__(self, constraint, blocks, grid):
        self.constraint = constraint
        self.blocks = blocks
        self.grid = grid

    def __call__(self, values):
        values, blocks = tf.convert_to_tensor(values), tf.convert_to_tensor(self.blocks)
        if self.constraint is not None:
            return ops.pack(
                _seeing_gates(self.constraint, ops.unpack(values, blocks, self.grid), self.grid),
                blocks,
                self.grid,
            )
        return tf.where(ops.inside(blocks, self.grid), values, tf.zeros_like(values))
