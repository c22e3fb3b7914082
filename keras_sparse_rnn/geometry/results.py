"""What the hidden states say about directions, neurons and weights. Pure NumPy, float64."""

import dataclasses
import functools
import numbers

import numpy as np

from keras_sparse_rnn.patterns import check_choice

ROLES = ("kernel", "recurrent_kernel")
COMBINATIONS = ("joint", "l2", "mean")
SHARES = (0.9, 0.95, 0.99)
# States are float32 at best: a direction whose variance is below this share of all is rounding.
ROUNDING = 1e-12


def check_share(share, name="share"):
    """Returns `share` as a float in (0, 1], or raises a `ValueError` that names `name`."""
    if not isinstance(share, numbers.Real) or isinstance(share, bool) or not 0 < share <= 1:
        raise ValueError(
            f"`{name}` must be a share of the variance in (0, 1]. Received: {name}={share!r}"
        )
    return float(share)


@dataclasses.dataclass(frozen=True, eq=False)
class LayerGeometry:
    """The geometry of the hidden states of one recurrent layer (or of one cell of a stack).

    `C` is the covariance of the states, `C = V diag(variances) V^T`, `V_k` the leading directions
    that hold `share` of the variance, `P = V_k V_k^T` the projection onto them. The formulae are
    derived in docs/geometry.md.

    Attributes:
        name: the layer's name, with those around it.
        count: how many states were seen: steps that are not masked, of all sequences.
        mean, covariance: `[units]` and `[units, units]`, of the states.
        input_covariance: `[inputs, inputs]`.
        kernel, recurrent_kernel: the weights, `[inputs, gates * units]` and `[units, gates *
            units]`.
        share: of the variance, that the leading directions hold.
    """

    name: str
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    input_covariance: np.ndarray
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    share: float = 0.9

    @property
    def units(self):
        """How many neurons there are."""
        return len(self.covariance)

    @property
    def gates(self):
        """How many gates stand side by side in the kernels."""
        return self.recurrent_kernel.shape[1] // self.units

    @functools.cached_property
    def _eigen(self):
        variances, directions = np.linalg.eigh(self.covariance)
        return np.maximum(variances[::-1], 0.0), directions[:, ::-1]

    @property
    def variances(self):
        """`[units]`, the variance of the states along each principal direction, largest first."""
        return self._eigen[0]

    @property
    def directions(self):
        """`[units, units]`, the principal directions, one in each column."""
        return self._eigen[1]

    def dimensions(self, share=None):
        """How many leading directions hold `share` (default: the one of the analysis) of the
        variance; 0 if the states never vary.
        """
        share = self.share if share is None else check_share(share)
        total = self.variances.sum()
        if not total:
            return 0
        return int(np.searchsorted(np.cumsum(self.variances), total * (share - ROUNDING)) + 1)

    @property
    def participation_ratio(self):
        """`(sum of variances)^2 / sum of variances^2`, the effective dimension: k if k directions
        have the same variance and the others none; 0 without any.
        """
        squares = np.square(self.variances).sum()
        return float(self.variances.sum() ** 2 / squares) if squares else 0.0

    @functools.cached_property
    def subspace(self):
        """`V_k`, `[units, dimensions()]`."""
        return self.directions[:, : self.dimensions()]

    @functools.cached_property
    def projection(self):
        """`P`, `[units, units]`."""
        return self.subspace @ self.subspace.T

    @functools.cached_property
    def projected_covariance(self):
        """`P C P`, `[units, units]`: the covariance of what the states have in the leading
        subspace.
        """
        return (self.subspace * self.variances[: self.dimensions()]) @ self.subspace.T

    @property
    def neurons(self):
        """`[units]`, what each neuron contributes: its variance in the leading subspace, the sum
        over the directions of variance * loading^2.
        """
        return np.diag(self.projected_covariance)

    @property
    def ranking(self):
        """The numbers of the neurons, that of the largest contribution first."""
        return np.argsort(-self.neurons, kind="stable")

    def droppable(self, loss=0.01):
        """Which neurons may be dropped whole: the most that together have no more than `loss` of
        the states' variance, counting all directions.

        A neuron of small variance may have a large mean. What reads it then needs `mean[neuron] *
        weight` added to its bias.

        Returns:
            int array, the neuron of least variance first.
        """
        variances = np.diag(self.covariance)
        order = np.argsort(variances, kind="stable")
        return order[np.cumsum(variances[order]) <= check_share(loss, "loss") * variances.sum()]

    def weights(self, role="recurrent_kernel", kernel=None):
        """What each weight contributes: the standard deviation of what it alone writes into the
        leading subspace of its gate's pre-activations.

            |w_ij| * sqrt(S_ii) * sqrt(P_jj)

        with `S = P C P` for the recurrent kernel and the covariance of the inputs for the kernel.

        Args:
            role: `"kernel"` or `"recurrent_kernel"`.
            kernel: the weights, if they have changed since.

        Returns:
            float64 array of the kernel's shape.
        """
        source, kernel = self._read(role, kernel)
        target = np.tile(np.diag(self.projection), self.gates)
        return np.abs(kernel) * np.sqrt(np.diag(source))[:, None] * np.sqrt(target)

    def blocks(self, grid, role="recurrent_kernel", combine="joint", kernel=None):
        """What the weights of each block contribute, for each of its weights, so that partial
        blocks do not go for being small.

        - `"joint"`: the variance that they write into the leading subspace together, `trace(W^T
          S_II W P_JJ)` of a block `W` with rows `I` and columns `J`. It knows that neurons are
          correlated, which single weights do not: what two of them write may add up or cancel.
        - `"l2"`: the mean of their squared contributions (see `weights`): the same without
          correlations.
        - `"mean"`: the mean of their contributions.

        Args:
            grid: the `BlockGrid` of the kernel.
            role: `"kernel"` or `"recurrent_kernel"`.
            combine: `"joint"`, `"l2"` or `"mean"`.
            kernel: the weights, if they have changed since.

        Returns:
            float64 `[gates, columns, rows]`.
        """
        if check_choice(combine, COMBINATIONS, "combine") != "joint":
            blocks = grid.split(self.weights(role, kernel))
            return (blocks if combine == "mean" else blocks**2).sum(axis=(3, 4)) / grid.elements
        source, kernel = self._read(role, kernel)
        blocks = grid.split(kernel)
        read = _diagonal_blocks(source, grid.block_shape[0]) @ blocks
        written = blocks @ _diagonal_blocks(self.projection, grid.block_shape[1])[:, None]
        return np.maximum((read * written).sum(axis=(3, 4)), 0.0) / grid.elements

    def _read(self, role, kernel):
        """The covariance of what a kernel reads, and its weights in float64."""
        if check_choice(role, ROLES, "role") == "kernel":
            return self.input_covariance, np.asarray(
                self.kernel if kernel is None else kernel, np.float64
            )
        return self.projected_covariance, np.asarray(
            self.recurrent_kernel if kernel is None else kernel, np.float64
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """The geometry of a model's recurrent layers. `geometry["lstm"]` or `geometry[0]` is one of
    them.

    Attributes:
        model: the model's name.
        layers: tuple of `LayerGeometry`.
    """

    model: str
    layers: tuple

    def __getitem__(self, key):
        if isinstance(key, str):
            found = [
                layer for layer in self.layers if key in (layer.name, layer.name.split("/")[-1])
            ]
            if len(found) != 1:
                names = ", ".join(layer.name for layer in self.layers)
                raise KeyError(f"{key!r} is the name of {len(found)} layers. There are: {names}")
            return found[0]
        return self.layers[key]

    def __iter__(self):
        return iter(self.layers)

    def __len__(self):
        return len(self.layers)

    def __rich__(self):
        from rich import box
        from rich.table import Table

        title = f"Hidden states of {self.model}: directions for a share of the variance"
        table = Table(
            title=title,
            caption=CAPTION,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for number, column in enumerate(COLUMNS):
            table.add_column(
                column, justify="right" if number else "left", no_wrap=number > 0, overflow="fold"
            )
        for layer in self.layers:
            figures = [str(layer.dimensions(share)) for share in SHARES]
            row = (
                f"{layer.count:,}",
                *figures,
                f"{layer.participation_ratio:.1f}",
                str(len(layer.droppable())),
            )
            table.add_row(layer.name, str(layer.units), *row)
        return table

    def print(self, console=None):
        """Prints the table to a `rich.console.Console`, by default standard output; a file or pipe
        gets lines of 120.
        """
        from rich.console import Console

        usual = Console()
        (console or (usual if usual.is_terminal else Console(width=120))).print(self)

    def __str__(self):
        from rich.console import Console

        console = Console(width=120)
        with console.capture() as capture:
            console.print(self)
        return capture.get()


COLUMNS = (
    "layer",
    "units",
    "states",
    *(f"{share:.0%}" for share in SHARES),
    "participation",
    "droppable",
)
CAPTION = (
    "Participation is the effective dimension; droppable are the neurons that together "
    "have no more than 1 % of the variance."
)


def _diagonal_blocks(matrix, size):
    """Cuts a square `matrix` into the blocks of `size` along its diagonal, `[count, size, size]`,
    the last one padded with zeros.
    """
    count = -(-len(matrix) // size)
    padded = np.pad(matrix, (0, count * size - len(matrix)))
    return np.stack(
        [
            padded[first : first + size, first : first + size]
            for first in range(0, count * size, size)
        ]
    )
