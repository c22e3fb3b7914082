"""What a model's sparsity is worth, kernel by kernel."""

from keras_sparse_rnn.report.rows import Row
from keras_sparse_rnn.report.table import BREAK_EVEN, Report, report

__all__ = ["BREAK_EVEN", "Report", "Row", "report"]
