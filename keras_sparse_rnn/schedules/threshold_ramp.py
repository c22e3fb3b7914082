"""A threshold on the weights of a block that rises while the model trains."""

import keras
import numpy as np

from keras_sparse_rnn.patterns import SCOPES, check_block_shape, check_choice, check_sparsity
from keras_sparse_rnn.schedules.schedule import Schedule, check_number, check_order, check_step
from keras_sparse_rnn.selection import find_kernels


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class ThresholdRamp(Schedule):
    """A threshold on the largest weight of a block, which rises in two pieces.

        step < ramp_step:   eps = start_slope * (step - begin_step + 1) / frequency
        step >= ramp_step:  eps = (start_slope * (ramp_step - begin_step + 1)
                                   + ramp_slope * (step - ramp_step + 1)) / frequency

    This is the schedule of Narang et al. 2017 (arXiv 1704.05119; for blocks, arXiv 1711.02782). A
    block lives while its `max |w|` is at least `eps`; the threshold stands still from `end_step`
    on. The last block of a gate lives in any case (of a kernel, if the `scope` of the callback is
    not `"gate"`). Calling the schedule returns `eps`, not a sparsity. The authors begin in the
    second epoch, ramp after a quarter of the epochs and end at about half, with `ramp_slope` 1.5 to
    2 times `start_slope`.

    Args:
        begin_step, ramp_step, end_step: `begin_step <= ramp_step <= end_step`, `begin_step <
            end_step`.
        start_slope: rise per `frequency` steps in the first piece: a number; or a mapping from the
            names of kernels, as `find_kernels` gives them, to a number or a list of numbers, one
            for each gate. If no name is in the model, the kernels are taken in order.
        ramp_slope: the same in the second piece.
        frequency: steps between two masks, and the unit of the slopes.

    Raises:
        ValueError: an argument is out of its range, or the steps are out of order.
    """

    def __init__(self, begin_step, ramp_step, end_step, start_slope, ramp_slope, frequency=100):
        self.begin_step = check_step(begin_step, "begin_step")
        self.ramp_step = check_step(ramp_step, "ramp_step")
        self.end_step = check_step(end_step, "end_step")
        _check_steps(begin_step, ramp_step, end_step)
        self.start_slope = _check_slopes(start_slope, "start_slope")
        self.ramp_slope = _check_slopes(ramp_slope, "ramp_slope")
        self.frequency = check_step(frequency, "frequency", least=1)
        first, second = (
            {n: np.size(v) for n, v in s.items()} if isinstance(s, dict) else None
            for s in (self.start_slope, self.ramp_slope)
        )
        if first != second:
            raise ValueError(
                "`start_slope` and `ramp_slope` must both be numbers, or mappings of the same "
                f"kernels and gates. Received: start_slope={start_slope!r}, "
                f"ramp_slope={ramp_slope!r}"
            )

    @classmethod
    def from_dense(
        cls,
        dense,
        begin_step,
        ramp_step,
        end_step,
        *,
        sparsity=0.9,
        frequency=100,
        block_shape=(16, 16),
        ratio=1.5,
        scope="gate",
        layers=None,
        gates=1,
    ):
        """A ramp whose slopes are computed from a dense model that was trained before.

        With `q` the quantile of `|w|` at `sparsity` in the dense model and `N` the weights of a
        block:

            steps = 2 * (ramp_step - begin_step) + 3 * (end_step - ramp_step)
            start_slope = N**(1/4) * 2 * q * frequency / steps
            ramp_slope = ratio * start_slope

        so that with `ratio=1.5` the threshold ends at `N**(1/4) * q`. The fourth root is the
        authors' allowance, found on large trained models, for the largest of `N` weights being
        larger than one weight. With blocks of one weight the sparsity that comes out is near
        `sparsity`, if the weights stay near those of `dense`. With larger blocks it depends on how
        the weights are distributed and on how they move: where no weight is much larger than the
        others, as in a model that has been trained for a short time, the threshold ends above all
        blocks, and of each gate only the last one is left. To get a sparsity that you have chosen,
        use `PolynomialDecay`.

        Args:
            dense: a built `keras.Model`; or its kernels `[inputs, gates * units]`, a list or a
                mapping from names, in the model's order.
            begin_step, ramp_step, end_step, frequency: as in the constructor.
            sparsity: the fraction to aim at.
            block_shape: `(rows, columns)` of a block, as given to `BlockPruning`.
            ratio: `ramp_slope / start_slope`; 1.5 to 2.
            scope: `"gate"`: slopes for each gate; `"kernel"`: for each kernel; `"model"`: one pair
                for all.
            layers: which layers of `dense`, as in `find_kernels`.
            gates: how many gates the kernels have, where `dense` is not a model.

        Raises:
            ValueError: an argument is out of its range, the steps are out of order, or `dense` has
                no kernels, weights that are not finite, or so many zeros that a threshold would
                stay zero.
        """
        steps = [
            check_step(step, name)
            for name, step in (
                ("begin_step", begin_step),
                ("ramp_step", ramp_step),
                ("end_step", end_step),
            )
        ]
        _check_steps(*steps)
        frequency = check_step(frequency, "frequency", least=1)
        gates = check_step(gates, "gates", least=1)
        sparsity, block_shape = check_sparsity(sparsity), check_block_shape(block_shape)
        ratio, scope = check_number(ratio, "ratio", least=0), check_choice(scope, SCOPES, "scope")
        scale = 2 * frequency / (2 * (steps[1] - steps[0]) + 3 * (steps[2] - steps[1]))
        parts = {}
        for name, kernel, count in _dense_kernels(dense, layers, gates):
            cut = kernel.reshape(len(kernel), count, -1).transpose(1, 0, 2)
            size = min(block_shape[0], cut.shape[1]) * min(block_shape[1], cut.shape[2])
            parts[name] = (
                np.abs(cut if scope == "gate" else cut.reshape(1, *kernel.shape)),
                size**0.25 * scale,
            )
        if scope == "model":
            factor = max(factor for _, factor in parts.values())
            pooled = np.concatenate([part.ravel() for part, _ in parts.values()])
            slope = factor * _quantile(pooled, sparsity, "the model")
            return cls(*steps, slope, slope * ratio, frequency)
        start = {
            name: [_quantile(gate, sparsity, name) * factor for gate in part]
            for name, (part, factor) in parts.items()
        }
        ramp = {name: [slope * ratio for slope in slopes] for name, slopes in start.items()}
        return cls(*steps, start, ramp, frequency)

    def __call__(self, step):
        """The threshold at `step`, in the structure of the slopes: a number, or a mapping of
        lists.
        """
        if isinstance(self.start_slope, dict):
            pairs = {
                name: zip(np.atleast_1d(slope), np.atleast_1d(self.ramp_slope[name]))
                for name, slope in self.start_slope.items()
            }
            return {name: [self._threshold(step, *pair) for pair in pairs[name]] for name in pairs}
        return self._threshold(step, self.start_slope, self.ramp_slope)

    def thresholds(self, step, names):
        """The thresholds at `step` of the kernels called `names`: arrays of one number, or of one
        for each gate.
        """
        value = self(step)
        if not isinstance(value, dict):
            return [np.atleast_1d(value) for _ in names]
        if not set(names) & set(value) and len(names) == len(value):
            return [np.array(one) for one in value.values()]
        missing = [name for name in names if name not in value]
        if missing:
            raise ValueError(
                "`start_slope` must have a slope for each kernel that is pruned, or as many as "
                f"there are. Missing: {missing}. Received: start_slope for {sorted(value)}"
            )
        return [np.array(value[name]) for name in names]

    def _threshold(self, step, start_slope, ramp_slope):
        if step < self.begin_step:
            return 0.0
        step = min(step, self.end_step)
        if step < self.ramp_step:
            return float(start_slope * (step - self.begin_step + 1) / self.frequency)
        first = start_slope * (self.ramp_step - self.begin_step + 1)
        return float((first + ramp_slope * (step - self.ramp_step + 1)) / self.frequency)

    def get_config(self):
        return {
            "begin_step": self.begin_step,
            "ramp_step": self.ramp_step,
            "end_step": self.end_step,
            "start_slope": self.start_slope,
            "ramp_slope": self.ramp_slope,
            "frequency": self.frequency,
        }


def _dense_kernels(dense, layers, gates):
    """Yields `(name, kernel, gates)` of each kernel of `dense`, a model or arrays."""
    if isinstance(dense, keras.Layer):
        for kernel in find_kernels(dense, layers):
            yield kernel.name, np.asarray(kernel.numpy(), np.float64), kernel.gates
        return
    if not isinstance(dense, (dict, list, tuple, np.ndarray)) or len(dense) == 0:
        raise ValueError(
            "`dense` must be a built model, or a list or mapping of at least one kernel [inputs, "
            f"gates * units]. Received: dense={dense!r}"
        )
    named = (
        dense.items()
        if isinstance(dense, dict)
        else ((str(n), kernel) for n, kernel in enumerate(dense))
    )
    for name, kernel in named:
        kernel = np.asarray(kernel, np.float64)
        if kernel.ndim != 2 or kernel.shape[1] % gates:
            raise ValueError(
                f"`dense` must be a model or kernels [inputs, gates * units] of gates={gates}. "
                f"Received: {name!r} of shape {kernel.shape}"
            )
        yield name, kernel, gates


def _quantile(weights, sparsity, name):
    """The quantile of the magnitudes `weights` at `sparsity`, from which a slope is made."""
    if not np.isfinite(weights).all():
        raise ValueError(
            "`dense` must have finite weights: its training has diverged. Received: "
            f"{np.count_nonzero(~np.isfinite(weights))} weights of {name} that are NaN or infinite"
        )
    quantile = float(np.quantile(weights, sparsity))
    if quantile == 0 and sparsity > 0:
        raise ValueError(
            f"`dense` must be a model that has not been pruned: {np.mean(weights == 0):.0%} of the "
            f"weights of a part of {name} are zero, so its slopes would be zero and nothing would "
            f"be pruned. Received: sparsity={sparsity}"
        )
    return quantile


def _check_steps(begin_step, ramp_step, end_step):
    check_order("begin_step", begin_step, "ramp_step", ramp_step)
    check_order("ramp_step", ramp_step, "end_step", end_step)
    check_order("begin_step", begin_step, "end_step", end_step, strictly=True)


def _check_slopes(slope, name):
    if isinstance(slope, dict):
        return {key: _check_slopes(value, f"{name}[{key!r}]") for key, value in slope.items()}
    if isinstance(slope, (list, tuple)):
        return [check_number(value, name, least=0) for value in slope]
    return check_number(slope, name, least=0)
