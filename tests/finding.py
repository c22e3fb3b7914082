"""A model, and the names of the kernels that are found in it."""

import keras

from keras_sparse_rnn.selection import find_kernels


def names(model, *args, **kwargs):
    return [kernel.name for kernel in find_kernels(model, *args, **kwargs)]


def sequential(*inner, shape=(4, 5)):
    return keras.Sequential([keras.Input(shape), *inner])
