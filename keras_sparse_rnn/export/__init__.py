"""Export to LiteRT, and the interpreter that runs what was exported."""

from keras_sparse_rnn.export.interpreter import Interpreter
from keras_sparse_rnn.export.litert import export_litert
from keras_sparse_rnn.export.summary import LiteRTSummary

__all__ = ["Interpreter", "LiteRTSummary", "export_litert"]
