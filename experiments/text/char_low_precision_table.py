"""The table of training at few bits."""

import statistics

from rich.table import Table

from experiments.text.char_few_bits import FLOAT


def table(found, seeds):
    """Bits per character of the test, how much more than float32 of the same sparsity and seed, and
    the same in the int8 cells.

    Args:
        found: dict of `Piece` to its figures.
        seeds: how many were asked for.

    Returns:
        `rich.table.Table`.
    """
    result = Table(title=f"Bits per character, test; seeds: {seeds}")
    titles = "sparsity", "weights x activations", "method", "bits per character", "against float32"
    for title in (*titles, "in the int8 cells", "against float32", "diverged"):
        result.add_column(title)
    rows = {}
    for piece, known in found.items():
        row = piece.sparsity, piece.weight_bits, piece.activation_bits, piece.method
        rows.setdefault(row, []).append((piece.seed, known))
    for (sparsity, weights, activations, method), runs in rows.items():
        floats = dict(rows.get((sparsity, None, None, FLOAT), ()))
        bits = "" if weights is None else f"{weights} x {activations}"
        cells = [f"{100 * sparsity:g} %", bits, method]
        for where in ("bits", "in_cells"):
            pairs = [
                (known[where]["test"], floats[seed]["bits"]["test"])
                for seed, known in runs
                if where in known and seed in floats
            ]
            cells += [_shown([one for one, _ in pairs], "{:.3f}")]
            costs = [100 * (one / other - 1) for one, other in pairs]
            cells += ["" if method == FLOAT else _shown(costs, "{:+.2f}", " %")]
        lost = sum(known["diverged"] for _, known in runs)
        result.add_row(*cells, f"{lost} of {len(runs)}" if lost else "")
    return result


def _shown(values, form, unit=""):
    """Mean and, of several, standard deviation."""
    if not values:
        return ""
    mean = form.format(statistics.mean(values))
    if len(values) == 1:
        return mean + unit
    return f"{mean} ± {form.replace('+', '').format(statistics.stdev(values))}{unit}"
