"""Another order of the units of recurrent layers: the same function, and blocks in which more of
what matters falls together.

Units of a recurrent layer have no order of their own. Put in another one, with the columns of the
kernel, the rows and columns of the recurrent kernel, the bias, and the rows of all that reads them,
the model computes what it did before. But blocks cut the kernels elsewhere then.

- `reorder_units(model)` does that to a model;
- `by_importance(scores)` is the order that it uses, of the scores of one recurrent kernel."""

from keras_sparse_rnn.reordering.order import by_importance
from keras_sparse_rnn.reordering.reorder import reorder_units

__all__ = ["by_importance", "reorder_units"]
