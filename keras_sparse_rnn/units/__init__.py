"""Units that do something, and units that do not.

`remove_dead_units` walks along the graph of a model, sees which units of which layers something
reads in the end and which are constant, and builds the model anew without the others:

- `walk`: who reads whom, with which weights;
- `constants`: which units never change;
- `liveness`: which units are needed, by a fixed point;
- `cutting`: the smaller layers;
- `outgoing_weights`: how much each unit is read."""

from keras_sparse_rnn.units.outgoing import outgoing_weights
from keras_sparse_rnn.units.removal import remove_dead_units

__all__ = ["outgoing_weights", "remove_dead_units"]
