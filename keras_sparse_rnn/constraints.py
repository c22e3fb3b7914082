"""What is done to a kernel after each step of the optimizer, for `kernel_constraint` and
`recurrent_constraint` of any layer of Keras.
"""

import keras
import tensorflow as tf

from keras_sparse_rnn.patterns import check_block_shape
from keras_sparse_rnn.regularizers.blocks import block_norms, block_sizes, scale_blocks
from keras_sparse_rnn.regularizers.gates import (
    SeesGates,
    as_matrix,
    check_gates,
    find_gates,
    grid_of,
)
from keras_sparse_rnn.regularizers.regularizer import strength_variable, working_dtype
from keras_sparse_rnn.schedules.schedule import check_number
from keras_sparse_rnn.slots import batches_per_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class ProximalGroupLasso(SeesGates, keras.constraints.Constraint):
    """Shrinks the norm of each block after each step, to exact zero where it is small: the group
    lasso without a penalty in the loss.

        w_b <- w_b * max(0, 1 - t * strength * sqrt(N_b) / ||w_b||),      t = learning_rate

    This is the proximal operator of `regularizers.GroupLasso`: the point that minimizes `||w -
    v||**2 / 2 + t * penalty(w)`, where `v` are the weights after the step (Parikh and Boyd 2014,
    *Proximal Algorithms*, section 6.5.4). With plain SGD the training is the proximal gradient
    method, and goes where the loss plus the penalty of the same `strength` is least; but blocks
    that do not pay become exactly zero, without a threshold, and `ksr.report` counts them.

    With an adaptive optimizer it is *decoupled*, as weight decay is in AdamW: Adam divides each
    gradient by its usual size, but not this. Its step moves a weight by `learning_rate` at most,
    and this pulls each weight of a block back by `learning_rate * strength` on average, so the
    strength is a share of Adam's step, whatever the loss. Where gradients are pure noise Adam still
    moves weights by about `sqrt((1 - beta_1) / (1 + beta_1))` of that, 0.23 at its default of 0.9:
    blocks of zeros stay zero from there on, and below it they come back, small. Begin with 0.3.
    (With `GroupLasso` in the loss, Adam scales the penalty like any gradient, and its noise keeps
    all blocks from zero.)

    A block of zeros may come back in a Keras layer, if its gradient is large enough. In a
    block-sparse layer of `storage="masked"` it stays zero: no gradient reaches it. `BlockPruning`
    puts its mask on top; a run of pruning that is *resumed* counts zero blocks as pruned. To
    combine it with another constraint, call both in one of your own.

    `strength` is a variable, which `callbacks.StrengthSchedule` multiplies with a factor.

    Args:
        strength: a number of at least 0, per weight, as that of `GroupLasso`.
        block_shape: `(rows, columns)` of a block in the kernel `[inputs, units]` of one gate.
        learning_rate: the step size t. `None`: that of the optimizer at each step, which
            `callbacks.StrengthSchedule` tells, so have one in `fit`; `StrengthSchedule()` does
            nothing else. (Before Keras 3.10 a schedule is one step ahead here: Keras counts the
            update first.) A number is used as it is, also if the learning rate of the optimizer
            changes. With `gradient_accumulation_steps` Keras calls constraints at every batch;
            `StrengthSchedule` tells that, too, and then all batches of a step shrink as much as
            one step does.
        gates: how many gates the kernel has, see `GroupLasso`.

    Raises:
        ValueError: an argument is out of its range; or, when it is called, the kernel has no two
            axes, its number of gates cannot be told and makes a difference, or there is no learning
            rate, or an optimizer that has none.
    """

    def __init__(self, strength, block_shape=(16, 16), learning_rate=None, gates=None):
        self._strength = float(check_number(strength, "strength", least=0))
        self.strength = strength_variable(self._strength)
        self.block_shape = check_block_shape(block_shape)
        self.learning_rate = (
            None
            if learning_rate is None
            else float(check_number(learning_rate, "learning_rate", least=0))
        )
        self.gates = check_gates(gates)
        self._optimizer = None

    def __call__(self, kernel, gates=None):
        gates = self.gates or gates or find_gates(kernel)
        kernel = tf.convert_to_tensor(kernel)
        grid = grid_of(kernel.shape, gates, self.block_shape, self)
        weights = as_matrix(tf.cast(kernel, working_dtype(kernel.dtype)))
        amount = tf.cast(self.strength, weights.dtype) * tf.cast(self._step_size(), weights.dtype)
        norms, least = (
            block_norms(weights, grid),
            amount * tf.constant(block_sizes(grid) ** 0.5, weights.dtype),
        )
        factors = tf.where(
            norms >= least, 1 - tf.math.divide_no_nan(least, norms), tf.zeros_like(norms)
        )
        return tf.cast(tf.reshape(scale_blocks(weights, factors, grid), kernel.shape), kernel.dtype)

    def follow(self, optimizer):
        """Takes the learning rate of `optimizer` as the step size where none was given; at each
        step, so along its schedule. `None`: of none any more. Returns the one that it was before.
        """
        former, self._optimizer = self._optimizer, optimizer
        return former

    def _step_size(self):
        # Constraints are called at every batch, also if the optimizer steps only after some of
        # them.
        batches = batches_per_step(self._optimizer)
        if self.learning_rate is not None:
            return self.learning_rate / batches
        if self._optimizer is None:
            raise ValueError(
                "`learning_rate` of ProximalGroupLasso must be a number if no callback tells it: "
                "add ksr.callbacks.StrengthSchedule() to those of `fit`, or call "
                "`follow(optimizer)`. Received: learning_rate=None"
            )
        rate = getattr(self._optimizer, "learning_rate", None)
        if rate is None:
            raise ValueError(
                "`learning_rate` of ProximalGroupLasso must be a number with an optimizer that has "
                "no learning rate of its own, such as a MultiOptimizer. Received: "
                f"learning_rate=None and a {type(self._optimizer).__name__}"
            )
        return tf.cast(rate, "float32") / batches

    def get_config(self):
        return {
            "strength": self._strength,
            "block_shape": list(self.block_shape),
            "learning_rate": self.learning_rate,
            "gates": self.gates,
        }
