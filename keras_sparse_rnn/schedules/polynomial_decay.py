"""A sparsity that rises along a polynomial."""

import keras

from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.schedules.schedule import Schedule, check_number, check_order, check_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class PolynomialDecay(Schedule):
    """Sparsity that rises from `initial_sparsity` at `begin_step` to `final_sparsity` at
    `end_step`.

    With `x = (step - begin_step) / (end_step - begin_step)`, clipped to [0, 1]:

        sparsity = final + (initial - final) * (1 - x)**power

    `power=3` is the cubic schedule of Zhu & Gupta 2017 (arXiv 1710.01878) and WaveRNN (arXiv
    1802.08435). Before `begin_step` nothing is pruned.

    Args:
        initial_sparsity: fraction in [0, 1) at `begin_step`.
        final_sparsity: fraction in [0, 1) from `end_step` on, not below `initial_sparsity`: blocks
            do not come back to life.
        begin_step: first step at which masks are taken.
        end_step: last one, after `begin_step`.
        power: a positive number.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, initial_sparsity, final_sparsity, begin_step, end_step, power=3):
        self.initial_sparsity = check_sparsity(initial_sparsity, "initial_sparsity")
        self.final_sparsity = check_sparsity(final_sparsity, "final_sparsity")
        self.begin_step = check_step(begin_step, "begin_step")
        self.end_step = check_step(end_step, "end_step")
        self.power = check_number(power, "power", least=0, open_below=True)
        check_order("begin_step", begin_step, "end_step", end_step, strictly=True)
        if self.final_sparsity < self.initial_sparsity:
            raise ValueError(
                "`final_sparsity` must not be below `initial_sparsity`: pruned blocks do not come "
                f"back to life. Received: initial_sparsity={initial_sparsity}, "
                f"final_sparsity={final_sparsity}"
            )

    def __call__(self, step):
        if step < self.begin_step:
            return 0.0
        x = min((step - self.begin_step) / (self.end_step - self.begin_step), 1.0)
        return (
            self.final_sparsity
            + (self.initial_sparsity - self.final_sparsity) * (1 - x) ** self.power
        )

    def get_config(self):
        return {
            "initial_sparsity": self.initial_sparsity,
            "final_sparsity": self.final_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
        }
