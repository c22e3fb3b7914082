"""Results as tables, for the terminal and for docs/benchmarks.md."""

import dataclasses

from benchmarks import roofline, targets
from benchmarks.problems import CELLS
from benchmarks.results import fastest_dense
from benchmarks.texts import name_of, plain, ratio, times_of, trouble


@dataclasses.dataclass
class Table:
    """A title, the names of the columns and rows of strings; the first column is left-aligned
    text.
    """

    title: str
    header: list
    rows: list

    def markdown(self):
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def rich(self):
        from rich.table import Table as RichTable

        table = RichTable(title=self.title, title_justify="left")
        for index, name in enumerate(self.header):
            table.add_column(name, justify="right" if index else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def all_tables(results):
    """The tables that have rows."""
    made = (function(results) for function in TABLES.values())
    return [table for table in made if table.rows]


def machine(results):
    about = results.machine or {}
    roof = results.roofline or {"bandwidth": {}, "flops": []}
    rows = [
        [name.replace("_", " "), plain(value)]
        for name, value in about.items()
        if name != "versions"
    ]
    rows += [[name, str(value)] for name, value in about.get("versions", {}).items() if value]
    for threads, curve in roof["bandwidth"].items():
        some = [
            f"{size >> 10} KiB: {rate / 1e9:.0f}"
            for size, rate in curve
            if size in (1 << 18, 1 << 21, 1 << 23, 1 << 25, 1 << 28)
        ]
        rows.append([f"reading, {threads} thread(s), GB/s", ", ".join(some)])
    rows += [
        [f"multiply-adds, {threads} thread(s), GFLOP/s", f"{rate / 1e9:.0f}"]
        for threads, rate in roof["flops"]
    ]
    if results.problems:
        commits = sorted({str(record["commit"]) for record in results.problems.values()})
        rows.append(["measured at commit", ", ".join(commits)])
    return Table("The machine", ["what", "here"], rows)


def figures(results):
    rows = []
    for figure, value, ours, other in targets.measured(results):
        sign = "<=" if figure.at_most else ">="
        unit = "" if figure.at_most else "x"
        if value is None:
            found = [
                next(
                    (f"{kind}: {ours[kind]}" for kind in ("skipped", "failed") if kind in ours),
                    "not measured",
                ),
                "",
                "",
                "",
            ]
        else:
            time = (
                f"{1e3 * ours['median']:.4g} ms"
                if "median" in ours
                else f"{ours['counted'] / 1e6:.1f} MB"
            )
            found = [
                f"{value:.3g}{unit}",
                "yes" if targets.reached(figure, value) else "no",
                time,
                other,
            ]
        rows.append([figure.what, f"{sign} {figure.asked:.3g}{unit}", *found])
    return Table(
        "Figures to reach",
        ["case", "asked", "measured", "reached", "ours", "against"],
        rows if results.problems else [],
    )


def peers(results):
    """Milliseconds of everybody."""
    rows = []
    for problem, cases in results.of_group("targets"):
        for case, record in cases.items():
            rows.append([str(problem), name_of(case), *times_of(record)])
    header = [
        "problem",
        "who",
        "median",
        "quartiles",
        "least",
        "calls",
        "error",
        "others",
        "round trip, ns",
    ]
    return Table("Everybody's times, milliseconds", header, rows)


def sweep(results):
    """How many times faster than the fastest dense peer."""
    rows, sparsities = [], (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
    for problem, cases in results.of_group("sweep"):
        series, median = fastest_dense(cases)
        ours = {
            case.pattern.sparsity: record for case, record in cases.items() if case.series == "ours"
        }
        ratios = [ratio(median, ours.get(sparsity, {})) for sparsity in sparsities]
        sizes = [
            CELLS[problem.cell],
            problem.mode,
            *map(str, (problem.units, problem.batch, problem.steps)),
        ]
        rows.append([*sizes, f"{series} {1e3 * median:.4g}" if median else "none", *ratios])
    header = [
        "cell",
        "mode",
        "H",
        "batch",
        "T",
        "fastest dense, ms",
        *(f"{100 * sparsity:g} %" for sparsity in sparsities),
    ]
    return Table("Speed-up over the fastest dense peer, 16x16", header, rows)


def shapes(results):
    columns = list(results.of_group("shapes"))
    patterns = dict.fromkeys(
        case.pattern for _, cases in columns for case in cases if case.series == "ours"
    )
    rows = []
    for pattern in patterns:
        row = [f"({pattern.block_shape[0]}, {pattern.block_shape[1]})"]
        for _, cases in columns:
            records = [
                record
                for case, record in cases.items()
                if case.series == "ours" and case.pattern == pattern
            ]
            row.append(ratio(fastest_dense(cases)[1], records[0] if records else {}))
        rows.append(row)
    sparsity = f"{100 * next(iter(patterns)).sparsity:g} %" if patterns else ""
    header = ["block", *(f"{problem}" for problem, _ in columns)]
    return Table(f"Speed-up over the fastest dense peer by block shape, {sparsity}", header, rows)


def share(results):
    """How near our forward cases come to the roofline."""
    if not results.roofline:
        return Table("Share of the roofline", [], [])
    rows = [
        [
            str(problem),
            str(case.pattern),
            f"{1e3 * record['median']:.4g}",
            f"{1e3 * least:.4g}",
            f"{100 * least / record['median']:.0f} %",
        ]
        for problem, case, record, least in with_roofline(results, ("sweep",))
        if problem.cell == "lstm" and case.pattern.sparsity in (0.0, 0.9, 0.99)
    ]
    return Table(
        "Share of the roofline", ["problem", "weights", "ours, ms", "attainable, ms", "share"], rows
    )


def with_roofline(results, wanted=("targets", "sweep", "shapes")):
    """`(problem, case, record, attainable seconds)` of each of our forward cases that was
    measured.
    """
    for group in wanted:
        for problem, cases in results.of_group(group):
            for case, record in cases.items():
                if problem.mode == "forward" and case.peer == "ours" and "median" in record:
                    yield (
                        problem,
                        case,
                        record,
                        roofline.attainable(
                            results.roofline, results.machine["threads"], problem, case
                        ),
                    )


def steps(results):
    rows = []
    for problem, cases in results.of_group("steps"):
        for case, record in cases.items():
            per_step = f"{1e6 * record['median'] / problem.steps:.3g}" if "median" in record else ""
            rows.append([str(problem), name_of(case), per_step, *times_of(record)[:3]])
    return Table(
        "One step at a time",
        ["problem", "who", "microseconds a step", "median, ms", "quartiles", "least"],
        rows,
    )


def cells(results):
    rows, names = [], ("Keras graph", "Keras XLA", "torch", "ONNX Runtime", "ours")
    for problem, cases in results.of_group("cells"):
        series, dense = fastest_dense(cases)
        times = {
            case.series: 1e6 * record["median"] / problem.steps
            for case, record in cases.items()
            if "median" in record
        }
        row = [f"{CELLS[problem.cell]} {problem.units}, batch {problem.batch}"]
        row += [f"{times[name]:.3g}" if name in times else "-" for name in names]
        ours = times.get("ours")
        per_step = dense and 1e6 * dense / problem.steps
        row.append(f"{per_step / ours:.2g}x ({series})" if dense and ours else "-")
        rows.append(row)
    header = ["microseconds a step", *names, "speed-up over the fastest dense one"]
    return Table("Cells that the code calls, each output the next input", header, rows)


def products(results):
    rows = []
    for problem, cases in results.of_group("products"):
        series, median = fastest_dense(cases)
        for sparsity in sorted({case.pattern.sparsity for case in cases}):
            row = [
                f"{problem.units}",
                str(problem.batch),
                f"{series} {1e3 * median:.4g}" if median else "none",
                f"{100 * sparsity:g} %",
            ]
            for name in ("ours", "torch BSR", "scipy BSR"):
                records = [
                    record
                    for case, record in cases.items()
                    if case.series == name and case.pattern.sparsity == sparsity
                ]
                row.append(ratio(median, records[0] if records else {}))
            rows.append(row)
    header = ["n", "batch", "fastest dense, ms", "sparsity", "ours", "torch BSR", "scipy BSR"]
    return Table(
        "x @ W, W of n by n in 16x16: speed-up over the fastest dense product", header, rows
    )


def memory(results):
    rows = []
    for problem, cases in results.of_group("memory"):
        for case, record in cases.items():
            values = [
                f"{record[name] / 1e6:.1f}" if name in record else ""
                for name in ("counted", "peak")
            ]
            rows.append([str(problem), name_of(case), *values, trouble(record)])
    header = [
        "problem",
        "who",
        "weights, gradients, Adam slots, MB",
        "peak over the baseline, MB",
        "trouble",
    ]
    return Table("Memory of a training step", header, rows)


TABLES = {
    "machine": machine,
    "figures": figures,
    "peers": peers,
    "sweep": sweep,
    "shapes": shapes,
    "share": share,
    "steps": steps,
    "cells": cells,
    "products": products,
    "memory": memory,
}
