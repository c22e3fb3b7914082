"""One sparsity from one step on."""

import keras

from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.schedules.schedule import Schedule, check_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Constant(Schedule):
    """`sparsity` from `begin_step` on, in one go.

    Args:
        sparsity: fraction in [0, 1).
        begin_step: the step at which the mask is taken.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, sparsity, begin_step):
        self.sparsity = check_sparsity(sparsity)
        self.begin_step = self.end_step = check_step(begin_step, "begin_step")

    def __call__(self, step):
        return self.sparsity if step >= self.begin_step else 0.0

    def get_config(self):
        return {"sparsity": self.sparsity, "begin_step": self.begin_step}
