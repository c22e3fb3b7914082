"""Activations for networks that are sparse from the start."""

import keras
import tensorflow as tf

from keras_sparse_rnn.schedules.schedule import check_number, check_step


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class AllReLU:
    """A ReLU whose slope below zero changes its sign from layer to layer.

        f(x) = x            for x > 0
        f(x) = -slope * x   for x <= 0 in even layers,  slope * x in odd ones

    In a sparse network a unit has few inputs, and a ReLU leaves many units without a gradient; a
    slope lets it through, and its changing sign keeps the outputs of a deep network centred (Curci
    et al. 2021, arXiv 2102.01732, with slopes of about 0.6; not on the inputs and not on the
    outputs). A function of each element, of any shape.

        keras.layers.Dense(256, activation=ksr.activations.AllReLU(0.6, layer=1))

    Layers whose native ops do not know it run on the reference.

    Args:
        slope: a number of at least 0.
        layer: the number of the layer in the network, an integer of at least 0.

    Raises:
        ValueError: an argument is not as described.
    """

    def __init__(self, slope, layer):
        self.slope = float(check_number(slope, "slope", least=0))
        self.layer = check_step(layer, "layer")

    def __call__(self, x):
        x = tf.convert_to_tensor(x)
        slope = tf.cast(self.slope if self.layer % 2 else -self.slope, x.dtype)
        return tf.where(x > 0, x, slope * x)

    def get_config(self):
        return {"slope": self.slope, "layer": self.layer}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
