"""An optimizer for networks whose blocks evolve."""

import numbers

import keras
from keras import ops

from keras_sparse_rnn import private_keras

NEVER = 2**31 - 1


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class AveragedSGD(keras.optimizers.SGD):
    """SGD that also averages each weight over the steps since it was born: sparse non-monotonically
    triggered averaged SGD (SNT-ASGD; Selfish-RNN, Liu et al. 2021, arXiv 2101.09048, section 3.3),
    after NT-ASGD (Merity et al. 2018, arXiv 1708.02182).

    From `begin_step` on each weight has an age `t`, the number of its steps since then or since it
    was born, and an average

        average += (weight - average) / max(1, t - 1)

    `callbacks.Evolution` sets both to zero where a block begins to live, so that what stood there
    before is not in the average: this is what is sparse about it. Training goes on with the
    weights; `callbacks.AveragedWeights` puts the averages in their place for evaluation and at the
    end, and may begin the averaging itself.

    Args:
        learning_rate: a number or a schedule. Selfish-RNN took 40, with gradients clipped to 0.25.
        begin_step: the step at which averaging begins; `None`: when `begin` is called.
        kwargs: the other arguments of `keras.optimizers.SGD`.
    """

    fresh_slots = {"averages": 0, "ages": 0}  # what Evolution needs to know

    def __init__(self, learning_rate=0.01, begin_step=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        is_step = isinstance(begin_step, numbers.Integral) and not isinstance(begin_step, bool)
        if begin_step is not None and not (is_step and begin_step >= 0):
            raise ValueError(
                "`begin_step` must be None or an integer of at least 0. Received: "
                f"begin_step={begin_step!r}"
            )
        self.begin_step = begin_step

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.places = {
            private_keras.variable_key(self, one): number for number, one in enumerate(variables)
        }
        begin = NEVER if self.begin_step is None else self.begin_step
        self.averaging_since = self.add_variable(
            shape=(),
            initializer=keras.initializers.Constant(begin),
            dtype="int64",
            name="averaging_since",
        )
        self.averages = [
            self.add_variable_from_reference(one, "average", initializer="zeros")
            for one in variables
        ]
        self.ages = [
            self.add_variable_from_reference(one, "age", initializer="zeros") for one in variables
        ]

    @property
    def is_averaging(self):
        """Whether averaging has begun."""
        return self.built and int(self.averaging_since) <= int(self.iterations)

    def begin(self):
        """Begins to average, with the coming step.

        Raises:
            ValueError: it is not built yet.
        """
        if not self.built:
            raise ValueError(
                "AveragedSGD must be built for the weights that it averages before `begin`: call "
                "`optimizer.build(model.trainable_variables)`, or give `begin_step=0`"
            )
        self.averaging_since.assign(self.iterations)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        index = self.places[private_keras.variable_key(self, variable)]
        average, age = self.averages[index], self.ages[index]
        begun = ops.cast(self.iterations >= self.averaging_since, age.dtype)
        self.assign_add(age, ops.broadcast_to(begun, age.shape))
        step = begun * (variable - average) / ops.maximum(age - 1, 1)
        self.assign_add(average, step)

    def average_of(self, variable, otherwise=None):
        """The average of `variable`, an array; where a weight has none yet, that of `otherwise`, an
        array of its shape, or the weight.
        """
        index = self.places[private_keras.variable_key(self, variable)]
        otherwise = variable if otherwise is None else otherwise
        return ops.where(self.ages[index] > 0, self.averages[index], otherwise)

    def get_config(self):
        return {**super().get_config(), "begin_step": self.begin_step}
