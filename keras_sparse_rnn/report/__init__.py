"""What a model's sparsity is worth, kernel by kernel."""

from keras_sparse_rnn.report.rows import Row
from keras_sparse_rnn.report.table import Report, report

__all__ = ["Report", "Row", "report"]
