"""A kernel of floats that rounds what it is multiplied with, for training at few bits."""

import tensorflow as tf


class RoundedKernel:
    """It takes the place of a dense kernel `[inputs, outputs]` in `ops.equations`.

    Args:
        kernel: float tensor.
        rounder: function of a tensor `[..., inputs]` and of `largest`, the rounded tensor.
        largest: what the largest integer stands for, or 0: the largest number of each row.
    """

    def __init__(self, kernel, rounder, largest):
        self.kernel, self.rounder, self.largest = kernel, rounder, largest

    @property
    def shape(self):
        return self.kernel.shape

    def __getitem__(self, index):
        """Some of the outputs: `kernel[:, outputs]`."""
        return RoundedKernel(self.kernel[index], self.rounder, self.largest)

    def times(self, x):
        """`x` `[..., inputs]`, rounded, times the kernel."""
        return tf.tensordot(self.rounder(x, self.largest), self.kernel, 1)
