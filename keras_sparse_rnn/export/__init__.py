"""Export to LiteRT, with what runs the files (whole sequences and streams), and to C."""

from keras_sparse_rnn.export.c import CSummary, export_c
from keras_sparse_rnn.export.interpreter import Interpreter
from keras_sparse_rnn.export.litert import export_litert
from keras_sparse_rnn.export.litert_summary import LiteRTSummary
from keras_sparse_rnn.export.stream import Stream

__all__ = ["CSummary", "Interpreter", "LiteRTSummary", "Stream", "export_c", "export_litert"]
