"""What a model's sparsity is worth: one row for each kernel, and the totals against the same model
dense.

A plain Keras layer stores and multiplies its zeros, so a pruned model shows its sparsity here, but
no gain. After `ksr.substitute` it does."""

import dataclasses

from keras_sparse_rnn.checks import check_console, check_keras_model
from keras_sparse_rnn.report.rows import bytes_of, not_cut, rows_of
from keras_sparse_rnn.substitution.advice import how_to_substitute
from keras_sparse_rnn.substitution.block_shapes import faster_block_shape, relative_cost

COLUMNS = ("layer", "kernel", "block", "sparsity", "bytes", "", "multiply-adds", "")


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of a model, with totals.

    Attributes:
        model: the model's name.
        rows: one `Row` for each kernel.
        other_bytes: of all other weights: biases, embeddings, normalisation.
        uncut: the recurrent and `Dense` layers that cannot be cut into blocks, as `"name (class)"`.
        advice: a sentence on the zeros of Keras layers, empty if there are few.
    """

    model: str
    rows: tuple
    other_bytes: int
    uncut: tuple = ()
    advice: str = ""

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
        """Sentences on block shapes that cannot be fast, with what to use instead, on layers too
        full to gain everywhere, on gates that nothing recurrent reaches, on what is quantised, and
        on layers that cannot be cut into blocks. A tuple, often empty.
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
        notes += [_cut_off(row) for row in self.rows if row.kernel == "recurrent_kernel"]
        notes += _quantised(self.rows)
        if self.uncut:
            notes.append(
                f"{', '.join(self.uncut)}: kernels that are not plain float matrices [inputs, "
                "gates * units] cannot be cut into blocks, and count as everything else."
            )
        return tuple(filter(None, notes))

    def __rich__(self):
        from rich import box
        from rich.table import Table
        from rich.text import Text

        title = f"Block sparsity of {self.model}, with shares of dense"
        table = Table(
            title=title,
            caption=Text(self._caption(), style="table.caption"),
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
        if self.advice:
            lines[0] += f" {self.advice}"
        gated = [row for row in self.rows if row.live_blocks and len(row.gate_names) > 1]
        if gated:
            lines.append("Live blocks of each gate:")
        for row in gated:
            counts = zip(row.gate_names, row.live_blocks)
            figures = "  ".join(f"{name} {live}/{row.blocks}" for name, live in counts)
            lines.append(f"  {row.layer}, {row.kernel}:  {figures}")
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
            layer that can be cut into blocks; `console` cannot print.
    """
    check_keras_model(model, layers=True)
    check_console(console)
    rows, counted = rows_of(model)
    uncut = tuple(f"{one.name} ({type(one).__name__})" for one in not_cut(model, counted))
    if not rows and uncut:
        raise ValueError(
            f"`model` must have recurrent or Dense layers that can be cut into blocks. Received: "
            f"{model.name!r} with {', '.join(uncut)}, whose kernels are not plain float matrices "
            "[inputs, gates * units]"
        )
    if not rows:
        raise ValueError(
            "`model` must be built and have recurrent or Dense layers, so that there are kernels "
            f"to report. Received: {model.name!r} with {len(getattr(model, 'layers', ()))} layers, "
            f"{'built' if model.built else 'not built'}"
        )
    other = sum(bytes_of(variable) for variable in model.weights if id(variable) not in counted)
    result = Report(model.name, tuple(rows), other, uncut, how_to_substitute(model))
    if console is not False:
        (console or _console()).print(result)
    return result


def _console(width=None):
    """A terminal has the width it has; a pipe or a file can take whole lines."""
    from rich.console import Console

    console = Console(width=width)
    return console if console.is_terminal or width else Console(width=120)


def _cut_off(row):
    """A sentence on the gates of a recurrent kernel that have no live block, or None."""
    names = [name for name, live in zip(row.gate_names, row.live_blocks) if not live]
    if not names:
        return None
    gates = f"gate {names[0]}" if len(names) == 1 else f"gates {' and '.join(names)}"
    return (
        f"{row.layer}: no block of the recurrent kernel lives in {gates}: "
        f"{'it does' if len(names) == 1 else 'they do'} not see the previous state any more. To "
        'keep a block in every gate, prune with scope="gate"; to keep more, with a '
        "minimum_density, in smaller blocks or to a lower sparsity."
    )


def _quantised(rows):
    """A sentence on the layers of each kind of quantised weights and activations."""
    layers = {}
    for row in rows:
        if row.weights != "float32":
            what = f"{row.weights} weights"
            if row.activations != "float32":
                by = (
                    "a range that was calibrated"
                    if row.input_range
                    else "the largest one of each step"
                )
                what += f" times {row.activations} activations, inputs rounded by {by}"
            layers.setdefault(what, {})[row.layer] = None
    return [f"{', '.join(names)}: {what}." for what, names in layers.items()]


def _speed(block_shape):
    return f"{1 / relative_cost(block_shape):.1g}"


def _figures(item):
    return (
        f"{100 * item.sparsity:.1f} %",
        f"{item.bytes:,}",
        f"{100 * item.bytes / item.dense_bytes:.1f} %",
        f"{item.multiply_adds:,}",
        f"{100 * item.multiply_adds / item.dense_multiply_adds:.1f} %",
    )
