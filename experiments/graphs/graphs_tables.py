"""The tables of both experiments."""

import numpy as np
from rich.table import Table

from experiments.graphs.graphs_measures import FAMILIES, correlation, interval

# Darji 2024 (arXiv 2407.20601), computed from the CSV files of the author's repository.
PUBLISHED = {
    ("source nodes", "gru"): 0.74,
    ("source nodes", "lstm"): 0.57,
    ("closeness, variance", "gru"): -0.68,
    ("closeness, variance", "lstm"): -0.51,
}
PUBLISHED_ACCURACY = {
    "gru": (0.984, 0.928),
    "lstm": (0.976, 0.916),
    "tanh": (0.893, 0.842),
    "relu": (0.829, 0.728),
}

FINAL, LEARNING = "accuracy", "mean accuracy of all epochs"
ALIKE = 0.02  # the range of accuracies under which nothing is correlated


def show(found, console):
    """Prints accuracies and correlations of what `graphs_structure` has found."""
    console.print(accuracies(found))
    for task, links in dict.fromkeys((task, links) for task, links, _ in found):
        own = {cell: one for (*key, cell), one in found.items() if key == [task, links]}
        for what in (FINAL, LEARNING):
            console.print(correlations(task, own, links, what, at_equal_size=False))
            console.print(correlations(task, own, links, what, at_equal_size=True))


def accuracies(found):
    """A table of accuracies, with the deviation between graphs and that between seeds alone."""
    table = Table(title="Accuracy: mean ± deviation")
    for heading in ("", "dense", "one graph, other seeds", *FAMILIES, "published, of the two"):
        table.add_column(heading, justify="right" if heading else "left")
    for (task, links, cell), one in found.items():
        rows = [one["control"].get(name, []) for name in ("dense", "one graph")]
        for family in FAMILIES:
            rows.append([row["accuracy"] for row in one["graphs"] if row["family"] == family])
        published = " / ".join(f"{value:.3f}" for value in PUBLISHED_ACCURACY[cell])
        table.add_row(
            f"{task}, {cell}, links {links}",
            *map(_spread, rows),
            published if task == "reber" else "",
        )
    return table


def correlations(task, of_cells, links, what, at_equal_size):
    """A table of the rank correlation of each measure with `what`, and its 95 % interval: the
    accuracy in the end or, for how soon networks learn, its mean over all epochs.

    At equal size, each graph is ranked among those of its family and size alone, so that what only
    tells large graphs from small ones, or the families, counts nothing. Where all accuracies lie
    within 2 %, there is nothing to correlate, and a dash says so.
    """
    within = ", among graphs of equal family and size" if at_equal_size else ""
    table = Table(title=f"Rank correlation with the {what}, {task}, links {links}{within}")
    for heading in ("", *of_cells):
        table.add_column(heading, justify="right" if heading else "left")
    names = next(
        (list(one["graphs"][0]["measures"]) for one in of_cells.values() if one["graphs"]), []
    )
    for name in names:
        cells = []
        for cell, one in of_cells.items():
            rows = one["graphs"]
            accuracy = [row["accuracy"] if what == FINAL else np.mean(row["curve"]) for row in rows]
            values = [row["measures"][name] for row in rows]
            strata = None
            if at_equal_size:
                strata = [f"{row['family']} {row['measures']['nodes']}" for row in rows]
            text = _correlation(values, accuracy, strata)
            is_theirs = task == "reber" and what == FINAL and not at_equal_size
            published = PUBLISHED.get((name, cell)) if is_theirs else None
            cells.append(text if published is None else f"{text}, published {published:+.2f}")
        table.add_row(name, *cells)
    return table


def recoveries(found):
    """A table of what `graphs_pruning` has found: for each sparsity the accuracy right after
    pruning, and the epochs after which it was the dense one again, of each seed.
    """
    table = Table(title="Accuracy after pruning at once / epochs to the dense accuracy, each seed")
    sparsities = sorted({row["sparsity"] for rows in found.values() for row in rows})
    for heading in ("", "dense", *(f"{sparsity:.0%}" for sparsity in sparsities)):
        table.add_column(heading, justify="right" if heading else "left")
    for (task, cell, what), rows in found.items():
        cells = []
        for sparsity in sparsities:
            own = [row for row in rows if row["sparsity"] == sparsity]
            epochs = " ".join(_epochs(row) for row in own)
            cells.append(f"{np.mean([row['accuracy'][0] for row in own]):.3f} / {epochs}")
        dense = _spread(sorted({row["dense"] for row in rows}))
        table.add_row(f"{task}, {cell}, {what}", dense, *cells)
    return table


def epochs_to_recover(row):
    """After how many epochs a pruned network was as accurate as the dense one, to half a per cent;
    None if it was not.
    """
    good = np.flatnonzero(np.array(row["accuracy"]) >= row["dense"] - 0.005)
    return int(good[0]) if good.size else None


def _epochs(row):
    epochs = epochs_to_recover(row)
    return "-" if epochs is None else str(epochs)


def _spread(values):
    if not len(values):
        return ""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def _correlation(values, accuracy, strata):
    alike = len(values) < 3 or np.ptp(accuracy) < ALIKE
    found = float("nan") if alike else correlation(values, accuracy, strata)
    if np.isnan(found):
        return "-"
    low, high = interval(values, accuracy, strata)
    return f"{found:+.2f} ({low:+.2f} to {high:+.2f})"
