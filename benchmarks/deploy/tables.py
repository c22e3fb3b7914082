"""The tables of the documents, from the file of results."""

from benchmarks.deploy.roads import CASES, CELLS, ROADS, UNITS

README = {  # rows of the README: what a row is called, what one calls for it, and its roads
    "stock LiteRT, dense, float32": ("", ["LiteRT, dense float32"]),
    "stock LiteRT, dense, int8": ("", ["LiteRT, dense int8"]),
    "ONNX Runtime, dense, float32 / int8": (
        "",
        ["ONNX Runtime, dense float32", "ONNX Runtime, dense int8"],
    ),
    "stock LiteRT, sparse, float32 / int8": (
        "`export_litert(model, path, streaming=True)`",
        ["LiteRT, sparse float32", "LiteRT, sparse int8"],
    ),
    "LiteRT with our operators, float32 / int8 x int8": (
        '`export_litert(..., runtime="ksr")`',
        ["LiteRT, our operators, float32", "LiteRT, our operators, int8 x int8"],
    ),
    "C that needs nothing else, float32 / int8 x int8": (
        "`export_c(model, folder)`",
        ["C, float32", "C, int8 x int8"],
    ),
    "Python with NumPy alone, one call for each step": (
        '`ksr_runtime.Model("model.ksr").stream()`',
        ["ksr_runtime, float32", "ksr_runtime, int8 x int8"],
    ),
}


def of_road(results, case, road, threads=1):
    """What was measured of a road with so many threads; {} if nothing was."""
    found = results["cases"].get(case, {}).get("roads", {}).get(road, {})
    return found.get("threads", {}).get(str(threads), {})


def number(value, form="#.3g"):
    """A figure with three digits that count, and no exponent."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:{form}}"


def speed(results, cell):
    """Microseconds of a step of all sizes, one thread."""
    lines = [
        f"| {cell.upper()}, units | {' | '.join(map(str, UNITS))} |",
        f"|---|{'---|' * len(UNITS)}",
    ]
    for road in ROADS:
        found = [of_road(results, f"{cell}-{units}", road.name) for units in UNITS]
        cells = [number(one.get("microseconds_per_step")) for one in found]
        lines.append(f"| {road.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def one_case(results, name):
    """All that was measured of a case."""
    case, dense = CASES[name], of_road(results, name, ROADS[0].name)
    roads = results["cases"].get(name, {}).get("roads", {})
    lines = [
        f"| {case.cell.upper()}, {case.inputs} to {case.units} | bytes | times smaller | ms to the "
        "first output | MB of memory | microseconds a step | times as fast as the first | on two "
        "threads | difference from Keras |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for road in ROADS:
        if road.name not in roads:
            continue
        found, one, two = (
            roads[road.name],
            *(of_road(results, name, road.name, threads) for threads in (1, 2)),
        )
        step = one["microseconds_per_step"]
        lines.append(
            f"| {road.name} | {found['bytes']:,} | "
            f"{roads[ROADS[0].name]['bytes'] / found['bytes']:.1f} | "
            f"{number(one['load_milliseconds'])} | {one['peak_bytes'] / 1e6:.1f} | "
            f"{number(step)} | {dense['microseconds_per_step'] / step:.1f}x | "
            f"{number(two.get('microseconds_per_step'))} | {found['error']:.0e} |"
        )
    return "\n".join(lines)


def runtime(results):
    """What else was measured of C and of `ksr_runtime`."""
    rows = {
        "code of the C program, bytes": ("lstm-512", "C", "code_bytes"),
        "LSTM-512 under qemu for aarch64, difference from Keras": (
            "lstm-512",
            "C",
            "error_on_aarch64",
        ),
        "a step of an LSTM-512 in `ksr_runtime`, 256 steps in a call": (
            "lstm-512",
            "ksr_runtime",
            "microseconds_per_step_in_one_call",
        ),
        "a step of one of 16 streams, which come together in a call": (
            "lstm-512",
            "ksr_runtime",
            "microseconds_per_step_of_a_stream_together",
        ),
        "an LSTM-2048: milliseconds from `model.ksr` to the first output": (
            "lstm-2048",
            "ksr_runtime",
            "load_milliseconds",
        ),
        "from a file that `save` wrote": (
            "lstm-2048",
            "ksr_runtime",
            "load_milliseconds_prepared",
        ),
    }
    lines = ["| | float32 | int8 x int8 |", "|---|---|---|"]
    for name, (case, kind, key) in rows.items():
        shown = []
        for precision in ("float32", "int8 x int8"):
            road = f"{kind}, {precision}"
            whole = results["cases"].get(case, {}).get("roads", {}).get(road, {})
            value = whole.get(key, of_road(results, case, road).get(key))
            shown.append(
                "-" if value is None else f"{value:.0e}" if "error" in key else number(value)
            )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def readme(results, case="lstm-512"):
    """The rows of the README."""
    roads = results["cases"].get(case, {}).get("roads", {})
    lines = ["| | one call | microseconds | bytes |", "|---|---|---|---|"]
    for name, (call, chosen) in README.items():
        found = [roads[road] for road in chosen if road in roads]
        steps = [number(each["threads"]["1"]["microseconds_per_step"]) for each in found]
        sizes = [f"{each['bytes']:,}" for each in found]
        lines.append(f"| {name} | {call} | {' / '.join(steps)} | {' / '.join(sizes)} |")
    return "\n".join(lines)


def contents(results):
    """The tables of the documents by their names."""
    return {
        "deploy_readme": readme(results),
        "deploy_lstm_512": one_case(results, "lstm-512"),
        "deploy_gru_512": one_case(results, "gru-512"),
        "deploy_runtime": runtime(results),
        **{f"deploy_{cell}": speed(results, cell) for cell in CELLS},
    }
