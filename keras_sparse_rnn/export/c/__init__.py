"""Export to C without anything: a folder with a model's weights, its code and a program, and the
file `model.ksr` that `ksr_runtime` runs."""

from keras_sparse_rnn.export.c.export import export_c
from keras_sparse_rnn.export.c.summary import CSummary

__all__ = ["CSummary", "export_c"]
