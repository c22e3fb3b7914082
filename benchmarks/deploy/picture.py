"""The charts: what a step takes, and what a file costs, over the size of the layer."""

import pathlib

from benchmarks.charts import COLOURS
from benchmarks.deploy.roads import CELLS, ROADS, UNITS
from benchmarks.deploy.tables import of_road
from benchmarks.training_speed import write

LINES = {  # a colour for what runs the model; its first word, or more where that does not tell
    "LiteRT, dense": COLOURS["LiteRT"],
    "LiteRT, sparse": COLOURS["Keras graph"],
    "LiteRT, our operators": COLOURS["ours"],
    "ONNX Runtime": COLOURS["ONNX Runtime"],
    "C": COLOURS["ours, int8"],
    "ksr_runtime": COLOURS["Keras XLA"],
}
STYLES = {"float32": "-", "bfloat16": ":", "int8": "--"}  # of the weights


def look(road):
    """Colour, style and mark of a road's line."""
    colour = next(value for name, value in LINES.items() if road.name.startswith(name))
    style = next(value for name, value in STYLES.items() if name in road.name)
    mark = "o" if road.sparse else "s"
    return {"color": colour, "linestyle": style, "marker": mark, "markersize": 3.5}


def steps(results):
    """Microseconds of a step on one thread."""
    panels = [(f"{cell.upper()}, one thread", "microseconds a step", cell) for cell in CELLS]
    return figure(
        [
            (title, label, cell, lambda _, one: one.get("microseconds_per_step"))
            for title, label, cell in panels
        ],
        results,
    )


def costs(results):
    """Bytes, time to the first output and memory, of LSTMs."""
    panels = {
        "The file": ("kilobytes", lambda road, _: road["bytes"] / 1e3),
        "From the file to the first output": (
            "milliseconds",
            lambda _, one: one.get("load_milliseconds"),
        ),
        "Memory above that before the file": ("megabytes", lambda _, one: one["peak_bytes"] / 1e6),
    }
    chosen = [(f"{title} (LSTM)", label, "lstm", of) for title, (label, of) in panels.items()]
    return figure(chosen, results)


CHARTS = {"deploy-steps": steps, "deploy-costs": costs}


def figure(panels, results):
    """Panels `(title, label, cell, value of a road)` with a line for each road over the units."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(4.6 * len(panels), 5.6), layout="constrained")
    axes = drawing.subplots(1, len(panels))
    for axis, (title, label, cell, value) in zip(axes, panels):
        for road in ROADS:
            points = []
            for units in UNITS:
                case = f"{cell}-{units}"
                one = of_road(results, case, road.name)
                if one:
                    whole = results["cases"][case]["roads"][road.name]
                    points.append((units, value(whole, one)))
            if points:
                axis.plot(*zip(*points), label=road.name, linewidth=1.5, **look(road))
        axis.set(xscale="log", yscale="log", xlabel="units", ylabel=label)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(UNITS, [str(units) for units in UNITS])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
        axis.grid(alpha=0.25)
    lines, names = axes[0].get_legend_handles_labels()
    if lines:
        drawing.legend(
            lines, names, loc="outside lower center", ncols=3, fontsize=8, handlelength=4
        )
    return drawing


def draw(results, folder):
    """Draws the charts into a folder."""
    for name, chart in CHARTS.items():
        drawing = chart(results)
        write(
            pathlib.Path(folder) / f"{name}.png",
            lambda draft, drawing=drawing: drawing.savefig(draft, dpi=120),
        )
