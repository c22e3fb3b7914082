"""The base class of criteria, and their names and configs."""

import keras
import numpy as np

from keras_sparse_rnn import configs
from keras_sparse_rnn.patterns import CRITERIA, check_finite

NAMES = (*CRITERIA, "fisher")


class Criterion:
    """Scores the blocks of a kernel: the larger, the longer a block lives.

    A subclass has a `block_scores`; the other methods do nothing unless they are overridden. Its
    scores must be a function of the model and its optimizer, and not of when it was asked before,
    so that a resumed run takes the same masks. Register it for saving, with
    `keras.saving.register_keras_serializable`, and let `get_config` return its arguments.

        @keras.saving.register_keras_serializable(package="mine")
        class LargestColumn(ksr.criteria.Criterion):
            def block_scores(self, kernel, grid, model):
                return abs(grid.split(kernel.numpy())).sum(axis=3).max(axis=3)
    """

    def begin(self, model):
        """Called once when training begins, before anything is changed. Weights may still be
        restored from a backup after that.
        """

    def prepare(self, kernels, model):
        """Called before the blocks of `kernels`, a list of `(kernel, grid)`, are scored for one
        mask: the place to compute what they share.
        """

    def block_scores(self, kernel, grid, model):
        """The score of each block, float `[gates, columns, rows]`, larger for what is to be kept.

        Args:
            kernel: the `selection.Kernel` record: `name`, `role`, `gate_names`, the `cell` that
                owns it, the `variable`, `numpy()`.
            grid: the `patterns.BlockGrid` that cuts it: `grid.split(weights)` has the shape
                `[gates, columns, rows, block rows, block columns]` (padded with zeros),
                `grid.elements` the number of weights of each block.
            model: the model that is trained.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method `block_scores(kernel, grid, model)`"
        )

    def end(self, model):
        """Called when the masks are taken off: the counterpart of `begin`."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def get(criterion, name="criterion"):
    """The `Criterion` that `criterion` names or is.

    Raises:
        ValueError: it is neither, told under `name`.
    """
    from keras_sparse_rnn.criteria.fisher import Fisher
    from keras_sparse_rnn.criteria.magnitude import Magnitude

    if isinstance(criterion, Criterion):
        return criterion
    if isinstance(criterion, str) and criterion in NAMES:
        return Fisher() if criterion == "fisher" else Magnitude(criterion)
    raise ValueError(
        f"`{name}` must be one of {', '.join(map(repr, NAMES))}, or a Criterion of "
        f"keras_sparse_rnn.criteria. Received: {name}={criterion!r}"
    )


def serialize(criterion):
    """A criterion for a config: a name as it is, an object as Keras serializes objects."""
    return (
        criterion if isinstance(criterion, str) else keras.saving.serialize_keras_object(criterion)
    )


def deserialize(config):
    """The inverse of `serialize`.

    Raises:
        ValueError: `config` is not a name, and stands for no `Criterion` that is known.
    """
    return (
        config if isinstance(config, str) else configs.deserialize(config, Criterion, "criterion")
    )


def scores_of(criterion, kernel, grid, model):
    """The scores that `criterion` gives to the blocks of `kernel`, float32 or float64 `[gates,
    columns, rows]`.

    Raises:
        ValueError: they are of another shape, or some are NaN; weights are NaN or infinite.
    """
    scores = np.asarray(criterion.block_scores(kernel, grid, model))
    if scores.dtype != np.float32:
        scores = scores.astype(np.float64)
    who = f"{type(criterion).__name__}.block_scores"
    if scores.shape != grid.shape:
        raise ValueError(
            f"`criterion` must give a score for each block, (gates, columns, rows) = {grid.shape}. "
            f"Received: scores of shape {scores.shape} from {who}"
        )
    if not np.isfinite(scores).all():
        check_finite(kernel.numpy())
    if np.isnan(scores).any():
        count = np.count_nonzero(np.isnan(scores))
        raise ValueError(
            f"`criterion` must give scores that can be ordered. Received: {count} of "
            f"{scores.size} are NaN, from {who}"
        )
    return scores
