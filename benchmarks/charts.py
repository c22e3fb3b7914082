"""Results as pictures. A peer has one colour in all of them."""

import os
import pathlib
import tempfile

from benchmarks.problems import CELLS
from benchmarks.results import fastest_dense
from benchmarks.tables import with_roofline

COLOURS = {
    "Keras graph": "#d1603d",
    "Keras XLA": "#f2a65a",
    "TensorFlow": "#8c4a2f",
    "torch": "#c2185b",
    "ONNX Runtime": "#6a4c93",
    "LiteRT": "#7f8c8d",
    "LiteRT sparse": "#4d5656",
    "torch BSR": "#e78ac3",
    "scipy BSR": "#b5a642",
    "ours": "#1f6fb2",
    "ours, bfloat16": "#2aa198",
    "ours, int8": "#6fb43f",
    "ours, int8 x int8": "#2e7d32",
    "ours, after idleness": "#9ec5e6",
    "ONNX Runtime, after idleness": "#bba8d6",
}
SHADES = {
    256: "#a6cbe8",
    512: "#5fa3d6",
    1024: "#1f6fb2",
    2048: "#154f80",
    4096: "#0a2a47",
}  # of ours, by units


def draw(results, folder):
    """Draws all charts for which there are results into `folder`. Returns the paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, function in CHARTS.items():
        figure = function(results)
        if figure is not None:
            paths.append(folder / f"benchmarks-{name}.png")
            _save(figure, paths[-1])
    return paths


def sparsity(results):
    """Speed-up over sparsity: a panel for each batch size, a line for each number of units, and the
    gradient beside.
    """
    panels = {}
    for problem, cases in results.of_group("sweep"):
        if problem.cell == "lstm":
            panels.setdefault((problem.mode, problem.batch), []).append((problem, cases))
    panels = dict(sorted(panels.items()))
    return _speed_ups(
        {f"LSTM {mode}, batch {batch}": each for (mode, batch), each in panels.items()}
    )


def cells(results):
    """The same for the other cells."""
    panels = {}
    for problem, cases in results.of_group("sweep"):
        if problem.cell != "lstm":
            panels.setdefault(
                f"{CELLS[problem.cell]} {problem.mode}, batch {problem.batch}", []
            ).append((problem, cases))
    return _speed_ups(dict(sorted(panels.items())))


def shapes(results):
    """Speed-up over block shape."""
    problems = list(results.of_group("shapes"))
    if not problems:
        return None
    figure, axes = _panels(len(problems), columns=len(problems))
    for axis, (problem, cases) in zip(axes, problems):
        median, bars = fastest_dense(cases)[1], {}
        for case, record in cases.items():
            if case.series == "ours" and "median" in record and median:
                bars["{}x{}".format(*case.pattern.block_shape)] = median / record["median"]
        positions = range(len(bars))
        axis.barh(positions, bars.values(), color=COLOURS["ours"])
        for position, value in zip(positions, bars.values()):
            axis.text(value, position, f" {value:.3g}x", va="center", fontsize=8)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_yticks(positions, bars)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set_title(str(problem), fontsize=9)
        axis.set(xlabel="times faster than the fastest dense peer", ylabel="block rows x columns")
    return figure


def peers(results):
    """Everybody's times on the problems of the targets."""
    panels = []
    for problem, cases in results.of_group("targets"):
        bars = [
            (case, 1e3 * record["median"]) for case, record in cases.items() if "median" in record
        ]
        panels += [(problem, bars)] if bars else []
    if not panels:
        return None
    figure, axes = _panels(len(panels), columns=2, width=5.4)
    for axis, (problem, bars) in zip(axes, panels):
        names = [
            case.series
            if "ours" not in case.series and case.form == ""
            else f"{case.series}, {case.pattern}"
            for case, _ in bars
        ]
        axis.barh(
            range(len(bars)),
            [time for _, time in bars],
            color=[COLOURS[case.series] for case, _ in bars],
        )
        for position, (_, time) in enumerate(bars):
            axis.text(
                time,
                position,
                f" {time:.0f}" if time >= 1000 else f" {time:.3g}",
                va="center",
                fontsize=7,
            )
        axis.set_yticks(range(len(bars)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set(xscale="log", xlabel="milliseconds a call, logarithmic")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
        axis.margins(x=0.2)
        axis.set_title(str(problem), fontsize=9)
    return figure


def roofline(results):
    """The share of the attainable speed that our forward cases reach."""
    if not results.roofline:
        return None
    panels = {}
    for problem, case, record, least in with_roofline(results, ("sweep",)):
        if problem.cell == "lstm":
            lines = panels.setdefault(problem.batch, {}).setdefault(problem.units, [])
            lines.append((case.pattern.sparsity, 100 * least / record["median"]))
    if not panels:
        return None
    figure, axes = _panels(len(panels), columns=2)
    for axis, (batch, lines) in zip(axes, sorted(panels.items())):
        for each, points in sorted(lines.items()):
            _line(axis, points, f"H {each}", SHADES.get(each, COLOURS["ours"]))
        axis.set_title(f"LSTM forward, batch {batch}", fontsize=9)
        axis.set(xlabel="sparsity (16x16)", ylabel="share of the roofline, %")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        _legend(axis)
    return figure


def products(results):
    """Products with block-sparse matrices: speed-up over the fastest dense product."""
    problems = list(results.of_group("products"))
    if not problems:
        return None
    figure, axes = _panels(len(problems), columns=3)
    for axis, (problem, cases) in zip(axes, problems):
        median = fastest_dense(cases)[1]
        for name in ("ours", "torch BSR", "scipy BSR"):
            _line(axis, _ratios(cases, name, median), name, COLOURS[name])
        _ratio_axis(axis, f"x @ W, W {problem.units} by {problem.units}, batch {problem.batch}")
    return figure


CHARTS = {
    "sparsity": sparsity,
    "cells": cells,
    "shapes": shapes,
    "peers": peers,
    "roofline": roofline,
    "products": products,
}


def _speed_ups(panels):
    """Panels with a line for each `(problem, cases)`: ours over the sparsity."""
    if not panels:
        return None
    figure, axes = _panels(len(panels), columns=2)
    for axis, (name, lines) in zip(axes, panels.items()):
        for problem, cases in sorted(lines, key=lambda line: line[0].units):
            median = fastest_dense(cases)[1]
            points = _ratios(cases, "ours", median)
            _line(axis, points, f"H {problem.units}", SHADES.get(problem.units, COLOURS["ours"]))
        _ratio_axis(axis, name)
    return figure


def _ratios(cases, series, median):
    """`(sparsity, speed-up)` of a series over a time."""
    records = [
        (case.pattern.sparsity, record)
        for case, record in cases.items()
        if case.series == series and "median" in record
    ]
    return sorted((sparsity, median / record["median"]) for sparsity, record in records if median)


def _line(axis, points, label, colour):
    """A line over the sparsities, which stand at even distances."""
    if points:
        names = [f"{100 * sparsity:g} %" for sparsity, _ in points]
        axis.plot(
            names,
            [value for _, value in points],
            label=label,
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
        )


def _ratio_axis(axis, title):
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axis.set_title(title, fontsize=9)
    axis.set(xlabel="sparsity (16x16)", ylabel="times faster than the\nfastest dense peer")
    axis.grid(alpha=0.25)
    _legend(axis)


def _legend(axis):
    """Where there is something to name: the peers of a panel may all have been left out."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)


def _panels(count, columns, width=4.3):
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, 2.9 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes[:count]


def _save(figure, path):
    """Writes a picture whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        figure.savefig(draft, dpi=120)
        os.replace(draft, path)
