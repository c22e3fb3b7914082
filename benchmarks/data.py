"""The arrays of a problem: every process makes the same ones from the problem alone, by numbers
drawn with fixed seeds.

Weights are uniform of standard deviation `0.5 / sqrt(units)`, small enough for the recurrence to
forget rounding errors. Of each gate exactly `round(sparsity * blocks)` blocks are zero, a uniformly
random choice, another one in each gate and kernel."""

import functools
import importlib.util
import sys
import types

import numpy as np

ROLES = ("kernel", "recurrent_kernel")
SAMPLE = 1 << 20


class Data:
    """The inputs, weights and targets of a problem, in Keras's layout and gate order."""

    def __init__(self, problem):
        self.problem = problem
        shape = (problem.batch, problem.units)
        if problem.cell != "matmul":
            shape = (problem.batch, problem.length, problem.units)
        self.x = uniform(1.0, shape, seed=1)
        self.cotangent = uniform(
            1.0, shape, seed=2
        )  # of the outputs; the targets of a training step

    @property
    def bias(self):
        problem = self.problem
        shape = (
            (2, 3 * problem.units) if problem.cell == "gru" else (problem.gates * problem.units,)
        )
        return uniform(0.1, shape, seed=3)

    def grid(self, pattern):
        return patterns().BlockGrid(
            self.problem.units, self.problem.units, self.problem.gates, pattern.block_shape
        )

    def blocks(self, pattern):
        """The numbers of the live blocks of the kernel and of the recurrent kernel, int32,
        ascending.
        """
        grid, numbers = self.grid(pattern), []
        per_gate = grid.rows * grid.columns
        live = max(1, per_gate - round(pattern.sparsity * per_gate))
        for role in range(len(ROLES)):
            rng = np.random.default_rng(
                (4, role, self.problem.units, round(1e4 * pattern.sparsity), *pattern.block_shape)
            )
            chosen = [
                gate * per_gate + np.sort(rng.permutation(per_gate)[:live])
                for gate in range(grid.gates)
            ]
            numbers.append(np.concatenate(chosen).astype(np.int32))
        return numbers

    def packed(self, pattern):
        """`(values, blocks)` of the two kernels."""
        grid = self.grid(pattern)
        bases = (
            base_kernel(self.problem.units, self.problem.gates, role) for role in range(len(ROLES))
        )
        return [grid.pack(base, blocks) for base, blocks in zip(bases, self.blocks(pattern))]

    def masks(self, pattern):
        """The keep-masks of the two kernels, bool `[units, gates * units]`."""
        grid, masks = self.grid(pattern), []
        for blocks in self.blocks(pattern):
            live = np.zeros(grid.count, bool)
            live[blocks] = True
            masks.append(grid.expand(live))
        return masks

    def kernels(self, pattern):
        """The two dense kernels `[units, gates * units]`, zeros and all."""
        bases = (
            base_kernel(self.problem.units, self.problem.gates, role) for role in range(len(ROLES))
        )
        if not pattern.sparsity:
            return list(bases)
        return [base * mask for base, mask in zip(bases, self.masks(pattern))]

    def live_weights(self, pattern):
        """How many weights of each of the two kernels live."""
        elements = self.grid(pattern).elements.ravel()
        return [int(elements[blocks].sum()) for blocks in self.blocks(pattern)]


@functools.cache
def patterns():
    """The module `keras_sparse_rnn.patterns`, without the rest of the package where that is not
    imported: it brings TensorFlow, which has no business in the processes of the other peers."""
    if "keras_sparse_rnn" in sys.modules:
        return importlib.import_module("keras_sparse_rnn.patterns")
    # An empty package of that name, which has the folder and not the contents, while it is needed.
    stand_in = types.ModuleType("keras_sparse_rnn")
    stand_in.__path__ = importlib.util.find_spec("keras_sparse_rnn").submodule_search_locations
    sys.modules["keras_sparse_rnn"] = stand_in
    try:
        return importlib.import_module("keras_sparse_rnn.patterns")
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "keras_sparse_rnn"]:
            del sys.modules[name]


def uniform(deviation, shape, seed):
    """Uniform numbers around zero, float32, of this standard deviation."""
    numbers = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (numbers - np.float32(0.5)) * np.float32(deviation * 12**0.5)


@functools.lru_cache(maxsize=2)
def base_kernel(units, gates, role):
    """A kernel before anything in it is made zero. The last two are kept: those of the problem at
    hand.
    """
    return uniform(0.5 / units**0.5, (units, gates * units), seed=(5, role, units))


def sample(array):
    """At most about a million numbers of an array, evenly spaced, by an odd stride that meets every
    column.
    """
    stride = -(-array.size // SAMPLE) | 1
    return np.ascontiguousarray(array).ravel()[::stride]


def largest_error(found, expected):
    """The largest difference of two dicts of arrays, relative to the largest number in the expected
    array. NaN stays NaN.
    """
    errors = [
        np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max()
        for name in expected
    ]
    return float(np.max(errors))
