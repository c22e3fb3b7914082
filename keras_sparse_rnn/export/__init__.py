"""Export to LiteRT, with the interpreter that runs what was exported, and to C."""

from keras_sparse_rnn.export.c import CSummary, export_c
from keras_sparse_rnn.export.interpreter import Interpreter
from keras_sparse_rnn.export.litert import export_litert
from keras_sparse_rnn.export.summary import LiteRTSummary

__all__ = ["CSummary", "Interpreter", "LiteRTSummary", "export_c", "export_litert"]
