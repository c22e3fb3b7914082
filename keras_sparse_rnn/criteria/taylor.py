"""Blocks whose loss would not be felt go first: first-order Taylor expansion of the loss."""

import contextlib
import itertools
import numbers

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.criteria.criterion import Criterion


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Taylor(Criterion):
    """`|sum w * dL/dw|` over a block, the mean over some batches: what the loss changes by, to first order, when the block is zeroed.

    Molchanov et al. 2017 (arXiv 1611.06440, eq. 8), with weights of a block in place of a feature map. The absolute value is taken after the sum
    over the block, since its weights go together, and before the mean over the batches, since near a minimum the gradients of batches
    cancel and their magnitudes tell. Divided by the number of weights, so that partial blocks do not go for being small.

    The loss is that of `model.compile`, penalties included, of the model as it is when it predicts (no dropout). A mask costs a forward and a
    backward pass over `batches` batches; the model's metrics and states stay as they are.

    Args:
        data: batches `(x, y)` or `(x, y, sample_weight)`: a list, a `keras.utils.PyDataset`, or something else that can be iterated over again
            and again, such as a `tf.data.Dataset`. If it is shuffled, a resumed run takes other masks than one that was left in peace.
        batches: how many of them are used, the first ones.

    Raises:
        ValueError: `data` has no batch, or the model is compiled without a loss.
    """

    def __init__(self, data, batches=8):
        if not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")) or isinstance(data, (str, dict)) or iter(data) is data:
            raise ValueError(
                f"`data` must be batches (x, y) that can be iterated over more than once. Received: data of type {type(data).__name__}"
            )
        if not isinstance(batches, numbers.Integral) or isinstance(batches, bool) or batches < 1:
            raise ValueError(f"`batches` must be an integer of at least 1. Received: batches={batches!r}")
        self.data, self.batches = data, int(batches)
        self._function, self._scores = None, {}

    def begin(self, model):
        self.end(model)

    def prepare(self, kernels, model):
        if self._function is None:
            self._function = _gradients if model.run_eagerly else tf.function(_gradients, reduce_retracing=True)
        variables = [kernel.variable for kernel, _ in kernels]
        sums, count = [0.0] * len(kernels), 0
        with _unchanged(model):
            for batch in self._first_batches():
                gradients = self._function(model, [v.value for v in variables], *keras.utils.unpack_x_y_sample_weight(batch))
                for number, ((kernel, grid), gradient) in enumerate(zip(kernels, gradients)):
                    effects = np.asarray(kernel.numpy(), np.float64) * np.asarray(gradient)
                    sums[number] = sums[number] + np.abs(grid.split(effects).sum(axis=(3, 4)))
                count += 1
        if not count:
            raise ValueError("`data` of the criterion Taylor must have at least one batch. Received: none")
        self._scores = {id(v): total / count / grid.elements for v, total, (_, grid) in zip(variables, sums, kernels)}

    def block_scores(self, kernel, grid, model):
        return self._scores[id(kernel.variable)]

    def end(self, model):
        self._function, self._scores = None, {}

    def get_config(self):
        raise ValueError("The data of a criterion Taylor cannot be written into a config. Make the callback anew instead.")

    def _first_batches(self):
        if hasattr(self.data, "__len__") and hasattr(self.data, "__getitem__"):
            return (self.data[number] for number in range(min(self.batches, len(self.data))))
        return itertools.islice(self.data, self.batches)


def _gradients(model, kernels, x, y, sample_weight):
    """The gradients of the loss of one batch in `kernels`, the values of kernel variables."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for kernel in kernels:
            tape.watch(kernel)
        loss = model.compute_loss(x, y, model(x, training=False), sample_weight, training=False)
    return tape.gradient(loss, kernels, unconnected_gradients="zero")


@contextlib.contextmanager
def _unchanged(model):
    """Puts back what a call of the model may change: states, running statistics, metrics."""
    variables = [*model.non_trainable_variables, *model.metrics_variables]
    before = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before):
            variable.assign(value)
