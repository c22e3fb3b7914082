"""Gradients of a model's loss on given batches, taken beside its training."""

import contextlib
import itertools
import numbers

import keras
import numpy as np
import tensorflow as tf


class BatchGradients:
    """Takes gradients of the loss of `model.compile`, penalties included, on the first batches of
    `data`.

    The model is as it is when it predicts (no dropout). Its states, running statistics and metrics
    stay as they are.

    Args:
        data: batches `(x, y)` or `(x, y, sample_weight)`: a list, a `keras.utils.PyDataset`, or
            something else that can be iterated over again and again, such as a `tf.data.Dataset`.
            If it is shuffled, a resumed run goes another way than one that was left in peace.
        batches: how many of them are used, the first ones.

    Raises:
        ValueError: `data` can be iterated over only once, or `batches` is no positive integer.
    """

    def __init__(self, data, batches):
        if (
            not (hasattr(data, "__iter__") or hasattr(data, "__getitem__"))
            or isinstance(data, (str, dict))
            or iter(data) is data
        ):
            raise ValueError(
                "`data` must be batches (x, y) that can be iterated over more than once. "
                f"Received: data of type {type(data).__name__}"
            )
        some = data if isinstance(data, (list, tuple)) else [data]
        if arrays := [one for one in some if hasattr(one, "shape")]:
            raise ValueError(
                "`data` must be batches (x, y), such as [(x[:32], y[:32]), (x[32:64], y[32:64])], "
                "and not the arrays themselves; (x,) where there is no y. Received: an array of "
                "shape "
                f"{tuple(arrays[0].shape)}"
            )
        if not isinstance(batches, numbers.Integral) or isinstance(batches, bool) or batches < 1:
            raise ValueError(
                f"`batches` must be an integer of at least 1. Received: batches={batches!r}"
            )
        self.data, self.batches = data, int(batches)
        self._function = None

    def take(self, model, variables):
        """Yields, for each batch, the gradients in `variables`, a list of NumPy arrays of their
        shapes.

        Raises:
            ValueError: there is no batch, or the model is compiled without a loss.
        """
        if self._function is None:
            self._function = (
                _gradients if model.run_eagerly else tf.function(_gradients, reduce_retracing=True)
            )
        count = 0
        with _unchanged(model):
            for batch in self._first():
                found = self._function(
                    model,
                    [v.value for v in variables],
                    *keras.utils.unpack_x_y_sample_weight(batch),
                )
                yield [np.asarray(gradient) for gradient in found]
                count += 1
        if not count:
            raise ValueError(
                "`data` must have at least one batch to take gradients of. Received: none"
            )

    def forget(self):
        """Lets go of the traced function, and of the model with it."""
        self._function = None

    def _first(self):
        if hasattr(self.data, "__len__") and hasattr(self.data, "__getitem__"):
            return (self.data[number] for number in range(min(self.batches, len(self.data))))
        return itertools.islice(self.data, self.batches)


def _gradients(model, variables, x, y, sample_weight):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for variable in variables:
            tape.watch(variable)
        loss = model.compute_loss(x, y, model(x, training=False), sample_weight, training=False)
    return tape.gradient(loss, variables, unconnected_gradients="zero")


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
