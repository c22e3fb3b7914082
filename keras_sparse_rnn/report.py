"""What a model's sparsity is worth: one row for each kernel, and the totals against the same model
dense.

A plain Keras layer stores and multiplies its zeros, so a pruned model shows its sparsity here, but
no gain. After `ksr.substitute` it does."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers import BlockSparseDense
from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.layers.storage import packed_variables
from keras_sparse_rnn.selection import find_kernels
from keras_sparse_rnn.substitution.block_shapes import (
    best_block_shape,
    faster_block_shape,
    relative_cost,
)

# Where training in a batch of one breaks even with Keras: measured for LSTMs and GRUs of 256 to
# 1024 units. The kernels compute 16 samples at a time, so a smaller batch takes as long as one of
# 16.
BREAK_EVEN = 0.65
COLUMNS = ("layer", "kernel", "block", "sparsity", "bytes", "", "multiply-adds", "")


@dataclasses.dataclass(frozen=True)
class Row:
    """One kernel.

    Attributes:
        layer: the layer's name, with those around it.
        kernel: `"kernel"` or `"recurrent_kernel"`.
        block_shape: `(rows, columns)` of the blocks; of a Keras layer, the shape in which
            `ksr.substitute` would store its zeros. None if no block is zero.
        sparsity: fraction of the weights that are zero: those outside live blocks where the layer
            has blocks, single zeros elsewhere.
        bytes: of the weights as they are held, with the block numbers, and the scales of int8.
        dense_bytes: of the dense kernel.
        multiply_adds: that the layer does for one time step of one sequence.
        dense_multiply_adds: what the dense kernel takes.
        block_sparse: whether the layer computes live blocks only.
    """

    layer: str
    kernel: str
    block_shape: tuple | None
    sparsity: float
    bytes: int
    dense_bytes: int
    multiply_adds: int
    dense_multiply_adds: int
    block_sparse: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of a model, with totals.

    Attributes:
        model: the model's name.
        rows: one `Row` for each kernel.
        other_bytes: of all other weights: biases, embeddings, normalisation.
    """

    model: str
    rows: tuple
    other_bytes: int

    @property
    def bytes(self):
        """Of all weights, as they are held."""
        return sum(row.bytes for row in self.rows) + self.other_bytes

    @property
    def dense_bytes(self):
        """Of all weights if every kernel were dense."""
        return sum(row.dense_bytes for row in self.rows) + self.other_bytes

    @property
    def multiply_adds(self):
        """Of all kernels, for one time step of one sequence."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def dense_multiply_adds(self):
        """Of all kernels if they were dense."""
        return sum(row.dense_multiply_adds for row in self.rows)

    @property
    def sparsity(self):
        """The fraction of zeros over all kernels in the rows."""
        return 1 - sum((1 - row.sparsity) * row.dense_bytes for row in self.rows) / sum(
            row.dense_bytes for row in self.rows
        )

    @property
    def notes(self):
        """Sentences on block shapes that cannot be fast, with what to use instead, and on layers
        too full to gain everywhere. A tuple, often empty.
        """
        notes = []
        for shape in dict.fromkeys(row.block_shape for row in self.rows if row.block_shape):
            faster = faster_block_shape(shape)
            if faster:
                notes.append(
                    f"{shape} blocks run at about {_speed(shape)} of the speed of (16, 16) per "
                    f"weight, one sample at a time; {faster} blocks at "
                    f"{_speed(faster)}: prune in those instead."
                )
        recurrent = {row.layer for row in self.rows if row.kernel == "recurrent_kernel"}
        full = [
            row
            for row in self.rows
            if row.block_sparse and row.layer in recurrent and row.sparsity < BREAK_EVEN
        ]
        if full:
            names = ", ".join(dict.fromkeys(row.layer for row in full))
            notes.append(
                f"{names}: below {BREAK_EVEN:.0%} sparsity, training in batches of fewer than 16 "
                "can take longer than in the Keras layer (below 30 %, inference in batches of 8 "
                "to 15 too). Larger batches gain at any sparsity."
            )
        return tuple(notes)

    def __rich__(self):
        from rich import box
        from rich.table import Table

        title = f"Block sparsity of {self.model}, with shares of dense"
        table = Table(
            title=title,
            caption=self._caption(),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for number, column in enumerate(COLUMNS):
            table.add_column(
                column,
                justify="left" if number < 2 else "right",
                no_wrap=number > 0,
                overflow="fold",
            )
        for row in self.rows:
            block = (
                "-" if row.block_shape is None else f"{row.block_shape[0]} x {row.block_shape[1]}"
            )
            table.add_row(row.layer, row.kernel, block, *_figures(row))
        table.add_section()
        table.add_row("everything else", "", "", "", f"{self.other_bytes:,}", "", "", "")
        table.add_row("total", "", "", *_figures(self), style="bold")
        return table

    def __str__(self):
        console = _console(width=120)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def _caption(self):
        lines = ["Multiply-adds are for one time step of one sequence."]
        if not all(
            row.multiply_adds < row.dense_multiply_adds for row in self.rows if row.sparsity > 0.1
        ):
            lines[0] += (
                " Keras layers store and multiply their zeros: "
                "keras_sparse_rnn.substitute(model) gives a model that does not."
            )
        return "\n".join([*lines, *self.notes])


def report(model, console=None):
    """Prints what the sparsity of each kernel of `model` is worth, and returns it.

    Args:
        model: a built `keras.Model`, of Keras layers, block-sparse ones or both.
        console: the `rich.console.Console` to print to; by default standard output. False prints
            nothing.

    Returns:
        `Report`.

    Raises:
        ValueError: `model` is no Keras model, is not built, or has no recurrent and no `Dense`
            layer.
    """
    check_keras_model(model, layers=True)
    rows, counted = [], set()
    for path, layer in _block_sparse_layers(model):
        rows += _rows_of_layer(path, layer, counted)
    for kernel in find_kernels(model, lambda layer: True, strict=False):
        if id(kernel.variable) not in counted:
            counted.add(id(kernel.variable))
            rows.append(_row_of_variable(kernel))
    if not rows:
        raise ValueError(
            "`model` must be built and have recurrent or Dense layers, so that there are kernels "
            f"to report. Received: {model.name!r} with {len(model.layers)} layers, "
            f"{'built' if model.built else 'not built'}"
        )
    other = sum(_bytes(variable) for variable in model.weights if id(variable) not in counted)
    result = Report(model.name, tuple(rows), other)
    if console is not False:
        (console or _console()).print(result)
    return result


def _console(width=None):
    """A terminal has the width it has; a pipe or a file can take whole lines."""
    from rich.console import Console

    console = Console(width=width)
    return console if console.is_terminal or width else Console(width=120)


def _block_sparse_layers(layer, path=()):
    for child in layer._flatten_layers(include_self=False, recursive=False):
        here = (*path, child.name)
        if isinstance(child, (BlockSparseRNN, BlockSparseDense)) and child.built:
            yield "/".join(here), child
        else:
            yield from _block_sparse_layers(child, here)


def _rows_of_layer(path, layer, counted):
    names = ("kernel", "recurrent_kernel")[: len(layer.grids)]
    owner = getattr(layer, "cell", layer)
    for name, grid, kernel in zip(names, layer.grids, layer.dense_kernels()):
        packed = layer.storage == "packed"
        variables = packed_variables(owner, name) if packed else [getattr(owner, name)]
        if id(variables[0]) in counted:
            continue
        counted.update(map(id, variables))
        live = np.zeros(grid.count, bool)
        live[np.asarray(variables[1]) if packed else np.flatnonzero(grid.live(kernel))] = True
        yield Row(
            path,
            name,
            grid.block_shape,
            grid.sparsity(live),
            sum(map(_bytes, variables)),
            kernel.nbytes,
            int(live.sum()) * grid.block_shape[0] * grid.block_shape[1],
            kernel.size,
            block_sparse=True,
        )


def _row_of_variable(kernel):
    weights = kernel.numpy()
    sparsity = 1 - np.count_nonzero(weights) / weights.size
    size = _bytes(kernel.variable)
    # The cell of a layer of its own says nothing beside it; one of a stack tells it from the
    # others.
    alone = getattr(kernel.layer, "cell", None) is kernel.cell
    name = kernel.path.removesuffix(f"/{kernel.cell.name}") if alone else kernel.path
    block_shape = best_block_shape(weights, kernel.gates) if sparsity else None
    if block_shape and kernel.grid(block_shape).live(weights).all():
        block_shape = None
    return Row(
        name, kernel.role, block_shape, float(sparsity), size, size, weights.size, weights.size
    )


def _speed(block_shape):
    return f"{1 / relative_cost(block_shape):.1g}"


def _bytes(variable):
    return int(np.prod(variable.shape)) * _itemsize(variable)


def _itemsize(variable):
    return tf.as_dtype(variable.dtype).size


def _figures(item):
    return (
        f"{100 * item.sparsity:.1f} %",
        f"{item.bytes:,}",
        f"{100 * item.bytes / item.dense_bytes:.1f} %",
        f"{item.multiply_adds:,}",
        f"{100 * item.multiply_adds / item.dense_multiply_adds:.1f} %",
    )
