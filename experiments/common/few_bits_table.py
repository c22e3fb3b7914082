"""The table of training at few bits."""

from rich.table import Table

from experiments.common.few_bits import FLOAT
from experiments.common.number_formats import cost

CELLS = "in_cells"


def table(found, title, errors, shown):
    """Errors of the test, how much more they are than those of float32 of the same sparsity and
    seed, and the same in the int8 cells.

    Args:
        found: dict of `FewBits` to figures: dicts of `errors` and `"in_cells"` to errors by part,
            and of `"diverged"`.
        title: of the table.
        errors: under which name the figures have the errors.
        shown: function of a list of errors, what the table shows.

    Returns:
        `rich.table.Table`.
    """
    result = Table(title=title)
    for heading in ("sparsity", "weights x activations", "method"):
        result.add_column(heading)
    for heading in ("test", "in the int8 cells"):
        result.add_column(heading, justify="right")
        result.add_column("against float32", justify="right")
    result.add_column("diverged")
    rows = {}
    for piece, known in found.items():
        row = piece.sparsity, piece.weight_bits, piece.activation_bits, piece.method
        rows.setdefault(row, []).append((piece.seed, known))
    for (sparsity, weights, activations, method), runs in rows.items():
        floats = dict(rows.get((sparsity, None, None, FLOAT), ()))
        bits = "" if weights is None else f"{weights} x {activations}"
        cells = [f"{100 * sparsity:g} %", bits, method]
        for where in (errors, CELLS):
            pairs = [
                (known[where]["test"], floats[seed][errors]["test"])
                for seed, known in runs
                if where in known and seed in floats
            ]
            cells += [shown([one for one, _ in pairs]) if pairs else ""]
            cells += ["" if method == FLOAT or not pairs else cost(pairs)]
        lost = sum(known["diverged"] for _, known in runs)
        result.add_row(*cells, f"{lost} of {len(runs)}" if lost else "")
    return result
