"""Pictures of sparsity. Needs matplotlib (`pip install "keras_sparse_rnn[examples]"`)."""

from keras_sparse_rnn.plot.drawing import DEAD, LIVE
from keras_sparse_rnn.plot.networks import curves, masks
from keras_sparse_rnn.plot.places import neurons
from keras_sparse_rnn.plot.states import geometry

__all__ = ["DEAD", "LIVE", "curves", "geometry", "masks", "neurons"]
