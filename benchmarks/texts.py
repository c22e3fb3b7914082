"""Cells of the tables: what one record says, as text."""

from benchmarks.problems import DENSE, SERIES, Pattern


def name_of(case):
    return case.series if case.series in DENSE else f"{case.series}, {case.pattern}"


def trouble(record):
    return next((f"{kind}: {record[kind]}" for kind in ("failed", "skipped") if kind in record), "")


def times_of(record):
    if "median" not in record:
        return [trouble(record).split(":")[0], *[""] * 6]
    quartiles = f"{1e3 * record['q1']:.4g} to {1e3 * record['q3']:.4g}"
    times = [f"{1e3 * record['median']:.4g}", quartiles, f"{1e3 * record['min']:.4g}"]
    trips = [1e9 * trip for trip in record.get("round_trips", []) if trip is not None]
    trips = f"{min(trips):.0f} to {max(trips):.0f}" if trips else "-"
    return [
        *times,
        str(record["calls"]),
        f"{record['error']:.0e}",
        f"{record['others']:.2f}",
        trips,
    ]


def ratio(dense, record):
    if "median" not in record:
        return trouble(record).split(":")[0] or "-"
    return f"{dense / record['median']:.3g}" if dense else "-"


def plain(value):
    return (
        ", ".join(f"{name} {each}" for name, each in value.items())
        if isinstance(value, dict)
        else str(value)
    )


def troubles(problem, cases):
    """A line for each case that was not measured."""
    for record in cases:
        if trouble(record):
            name, pattern = SERIES[record["peer"], record["form"]], record["pattern"]
            yield (
                f"{problem}, {name}, "
                f"{Pattern(pattern['sparsity'], tuple(pattern['block_shape']))}: {trouble(record)}"
            )
