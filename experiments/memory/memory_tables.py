"""What the networks of the memory tasks came to, in tables."""

import statistics

from rich.table import Table

from experiments.text.char_measure import spread


def table(title, task, runs):
    """Figures of the test, a line for each row.

    Args:
        title: of the table.
        task: `Brackets` or `Copying`.
        runs: dict of rows to `(recipe, list of figures)`, as `trained` gives them.

    Returns:
        `rich.table.Table`.
    """
    first = next(iter(runs.values()))[1][0]["test"]
    groups = list(first["accuracy"])
    floor = f"bits above {first['floor']:.3f}"
    made = Table(title=f"{title}; {task.measured}, in per cent; a guess: {100 * task.chance:g}")
    for heading in ("", "rate", "parameters", floor, *groups, "seconds"):
        made.add_column(heading, justify="right" if heading else "left")
    for row, (recipe, figures) in runs.items():
        made.add_row(
            row,
            f"{recipe.learning_rate:g}",
            f"{figures[0]['parameters']:,}",
            spread([one["test"]["bits"] - one["test"]["floor"] for one in figures]),
            *(percent([one["test"]["accuracy"][group] for one in figures]) for group in groups),
            f"{statistics.mean(one['seconds'] + one['start_seconds'] for one in figures):.0f}",
        )
    return made


def gates_table(title, runs):
    """How many blocks, or weights, of the recurrent kernel live in each gate: mean over seeds, and
    the least and the most.
    """
    first = next(iter(runs.values()))[1][0]["live_weights"]["recurrent_kernel"]
    made = Table(title=f"{title}: live blocks of each gate's recurrent kernel")
    for heading in ("", *first, "of", "kernel of the inputs"):
        made.add_column(heading, justify="right" if heading else "left")
    for row, (recipe, figures) in runs.items():
        size = recipe.block_shape[0] * recipe.block_shape[1]
        lives = [one["live_weights"]["recurrent_kernel"] for one in figures]
        inputs = [sum(one["live_weights"]["kernel"].values()) for one in figures]
        made.add_row(
            row,
            *(_counts([live[gate] / size for live in lives]) for gate in first),
            f"{recipe.units**2 / size:,.0f}",
            _counts([one / size for one in inputs]),
        )
    return made


def percent(shares):
    """Mean and, of several, standard deviation, in per cent."""
    if any(one is None for one in shares):
        return ""
    deviation = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.mean(shares):.1f}{deviation}"


def _counts(counts):
    least, most = min(counts), max(counts)
    among = f" ({least:.0f} to {most:.0f})" if least != most else ""
    return f"{statistics.mean(counts):.0f}{among}"
