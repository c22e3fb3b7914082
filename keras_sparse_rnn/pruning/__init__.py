"""The engine of pruning: how a training is joined and left, which kernels follow a schedule, and
what their masks are.

- `Participant`: the base class of callbacks that take part in a training, with all that concerns
  joining it, leaving it, and trainings that are broken off or resumed;
- `TrainFunction`: how participants come to act between a training step and the first callback;
- `KernelMask`: a kernel under a mask, which is a constraint on the layer's own variable;
- `PruningGroup`: kernels that follow one schedule;
- `prune`: a model pruned at once, without training.
"""

from keras_sparse_rnn.pruning.one_shot import prune
from keras_sparse_rnn.pruning.participant import Participant, State

__all__ = ["Participant", "State", "prune"]
