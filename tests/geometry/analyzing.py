"""The analysis of a model, in silence."""

import keras_sparse_rnn as ksr


def analyze(model, data, *arguments, **options):
    return ksr.geometry.analyze(model, data, *arguments, console=False, **options)
