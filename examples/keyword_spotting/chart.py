"""Draws the chart and writes the table of the README, from the results.

    python -m examples.keyword_spotting.chart [--json FILE] [--picture FILE] [--readme FILE]

Both come from the JSON alone: nothing is measured here."""

import argparse
import json
import pathlib
import re
import statistics

from .files import whole

FOLDER = pathlib.Path(__file__).parent
BEGIN, END = "<!-- table of results -->", "<!-- end -->"
# road: colour, mark; int8 is filled, float32 is not
STYLES = {
    "LiteRT, dense float32": ("tab:blue", "o"),
    "LiteRT, dense int8": ("tab:blue", "o"),
    "ONNX Runtime, dense float32": ("tab:purple", "D"),
    "ONNX Runtime, dense int8": ("tab:purple", "D"),
    "our C, dense float32": ("tab:gray", "s"),
    "our C, dense int8": ("tab:gray", "s"),
    "LiteRT, sparse float32": ("tab:olive", "o"),
    "LiteRT, sparse int8": ("tab:olive", "o"),
    "LiteRT with our operators, float32": ("tab:orange", "o"),
    "LiteRT with our operators, int8": ("tab:orange", "o"),
    "our C, pruned float32": ("tab:red", "s"),
    "our C, pruned int8": ("tab:red", "s"),
}


def points(results):
    """What is drawn: a list of dicts, one for each kind, size and road, over its seeds."""
    groups = {}
    for model in results["models"]:
        for road, entry in model["files"].items():
            groups.setdefault((model["kind"], model["units"], road), []).append((model, entry))
    return [
        {
            "kind": kind,
            "units": units,
            "road": road,
            "weights": statistics.mean(model["weights"] for model, _ in found),
            "test": statistics.mean(entry["test"] for _, entry in found),
            "spread": _spread([entry["test"] for _, entry in found]),
            **{
                key: statistics.mean(entry[key] for _, entry in found)
                for key in ("bytes", "microseconds", "python_microseconds")
                if key in found[0][1]
            },
        }
        for (kind, units, road), found in groups.items()
    ]


def _spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def front(found):
    """Those that no other one beats, which would be as fast and more right."""
    best, result = -1.0, []
    for point in sorted(found, key=lambda point: (point["microseconds"], -point["test"])):
        if point["test"] > best:
            best = point["test"]
            result.append(point)
    return result


def costs(results):
    """By road of int8, what rounding costs: the relative loss of accuracy in %, mean and largest
    over all models, each against float32 on the same road.
    """
    found = {}
    for model in results["models"]:
        for road, entry in model["files"].items():
            other = model["files"].get(road.replace("int8", "float32"))
            if "int8" in road and other:
                found.setdefault(road, []).append(100 * (1 - entry["test"] / other["test"]))
    return {road: (statistics.mean(losses), max(losses)) for road, losses in found.items()}


def table(results):
    """The tables of the README, in Markdown; what is on the front stands in bold."""
    found = points(results)
    best, lines = front(found), []
    for kind in dict.fromkeys(point["kind"] for point in found):
        of_kind = [point for point in found if point["kind"] == kind]
        sizes = {point["units"]: point["weights"] for point in of_kind}
        lines += [
            f"| {kind}, units of the LSTM | {' | '.join(map(str, sizes))} |",
            "|---" * (len(sizes) + 1) + "|",
            f"| weights | {' | '.join(f'{weights:,.0f}' for weights in sizes.values())} |",
        ]
        for road in dict.fromkeys(point["road"] for point in of_kind):
            cells = [_cell(point, best) for point in of_kind if point["road"] == road]
            lines.append(f"| {road} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["| accuracy lost by int8, relative | mean | largest |", "|---|---|---|"]
    lines += [
        f"| {road} | {mean:.2f} % | {most:.2f} % |" for road, (mean, most) in costs(results).items()
    ]
    return "\n".join(lines)


def _cell(point, best):
    right = f"{100 * point['test']:.1f} ± {100 * point['spread']:.1f} %"
    text = f"{right}, {point['microseconds']:.2f} µs, {point['bytes'] / 1000:.1f} kB"
    return f"**{text}**" if point in best else text


def draw(results, path):
    """Accuracy over microseconds a frame; the size of a mark is the bytes of the file."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    found = points(results)
    figure, axes = plt.subplots(figsize=(12, 7), constrained_layout=True)
    for road, (colour, mark) in STYLES.items():
        of_road = [point for point in found if point["road"] == road]
        if not of_road:
            continue
        times = [point["microseconds"] for point in of_road]
        rights = [100 * point["test"] for point in of_road]
        spreads = [100 * point["spread"] for point in of_road]
        axes.errorbar(times, rights, spreads, fmt="none", ecolor=colour, alpha=0.5, lw=0.8)
        axes.plot(times, rights, color=colour, lw=0.6, alpha=0.4)
        axes.scatter(
            times,
            rights,
            [point["bytes"] / 700 for point in of_road],
            marker=mark,
            edgecolors=colour,
            facecolors=colour if "int8" in road else "none",
            alpha=0.8,
        )
        for point, time, right in zip(of_road, times, rights):
            place = {"xytext": (0, 5), "textcoords": "offset points"}
            axes.annotate(
                point["units"], (time, right), color=colour, fontsize=7, ha="center", **place
            )
        axes.scatter(
            [],
            [],
            40,
            marker=mark,
            edgecolors=colour,
            label=road,
            facecolors=colour if "int8" in road else "none",
        )
    best = front(found)
    axes.plot(
        [point["microseconds"] for point in best],
        [100 * point["test"] for point in best],
        color="black",
        lw=1.2,
        ls="--",
        label="front of the best",
        zorder=0,
    )
    axes.set_xscale("log")
    limits = axes.get_xlim()
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(limits)
    axes.set_xlabel("microseconds a frame, one thread (a frame is 25 ms of sound)")
    axes.set_ylabel("clips told right on the test, %")
    axes.set_title("Area of a mark: bytes of the file. Number beside a mark: units of the LSTM")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    with whole(path) as draft:
        figure.savefig(draft, dpi=110)
    plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = FOLDER / "results"
    parser.add_argument("--json", type=pathlib.Path, default=results / "keyword_spotting.json")
    parser.add_argument("--picture", type=pathlib.Path, default=results / "keyword_spotting.png")
    parser.add_argument("--readme", type=pathlib.Path, default=FOLDER / "README.md")
    options = parser.parse_args(arguments)
    results = json.loads(options.json.read_text())
    draw(results, options.picture)
    text = options.readme.read_text()
    made = f"{BEGIN}\n{table(results)}\n{END}"
    with whole(options.readme) as draft:
        draft.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: made, text, flags=re.S))


if __name__ == "__main__":
    main()
