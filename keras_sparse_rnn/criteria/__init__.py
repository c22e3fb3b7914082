"""What a block is worth: which blocks `BlockPruning` drops first.

`BlockPruning(criterion=...)` takes one of the names `"max"`, `"mean"` and `"l2"`, which look at the
weights alone, `"fisher"`, or an object of this module:

- `Magnitude(norm)`: what the first three names stand for;
- `Fisher()`, or `"fisher"`: weights and the optimizer's second moments, `sum w**2 * v` (optimal
  brain damage); costs nothing;
- `Taylor(data)`: how much the loss changes, to first order, when a block is zeroed, `|sum w *
  dL/dw|` over some batches;
- `Geometric(data)`: how much of the activity of the hidden states a block carries;
- `LAMP(criterion)`: the scores of another criterion, made comparable across gates and kernels for
  `scope="model"`;
- `UnitImportance()`: the weights of whole units, into them or out of them (`UnitPruning` goes by
  it, too);
- a `Criterion` of your own: one method, `block_scores`."""

from keras_sparse_rnn.criteria.criterion import Criterion, deserialize, get, scores_of, serialize
from keras_sparse_rnn.criteria.fisher import Fisher
from keras_sparse_rnn.criteria.geometric import Geometric
from keras_sparse_rnn.criteria.lamp import LAMP
from keras_sparse_rnn.criteria.magnitude import Magnitude
from keras_sparse_rnn.criteria.taylor import Taylor
from keras_sparse_rnn.criteria.unit_importance import UnitImportance

__all__ = [
    "Criterion",
    "Fisher",
    "Geometric",
    "LAMP",
    "Magnitude",
    "Taylor",
    "UnitImportance",
    "deserialize",
    "get",
    "scores_of",
    "serialize",
]
