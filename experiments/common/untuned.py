"""Batches without the tuner of tf.data."""

import tensorflow as tf


def untuned(dataset):
    """The dataset without autotuning: there is nothing to tune here, and on a single processor the
    tuner can take a minute to stop.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
