"""`python -m benchmarks.steps`: see the package."""

import argparse
import json
import pathlib
import statistics
import sys

from benchmarks import machine, roofline, steps
from benchmarks.steps.cases import GATES, TYPES, Case, table
from benchmarks.steps.programs import Programs
from benchmarks.tables import Table

OUTPUT = pathlib.Path(__file__).parents[1] / "results" / "steps.json"
BANDWIDTH_SIZES = [1 << power for power in range(14, 24)]  # 16 KiB to 8 MiB
BANDWIDTH_SECONDS = 0.25  # for each of them


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.steps",
        description=steps.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cell", choices=GATES, help="measure one case: its cell")
    parser.add_argument("--units", type=int, default=384)
    parser.add_argument("--inputs", type=int, default=0, help="as many as units by default")
    parser.add_argument(
        "--block", type=int, nargs=2, default=(16, 16), metavar=("INPUTS", "OUTPUTS")
    )
    parser.add_argument("--weights", choices=TYPES, default="float32")
    parser.add_argument("--activations", choices=("float32", "int8"), default="float32")
    parser.add_argument("--density", type=float, default=0.1, help="the part of blocks kept")
    parser.add_argument("--steps", type=int, default=1, help="of one call")
    parser.add_argument("--rounds", type=int, help="default: 3 for one case, 5 for all")
    parser.add_argument("--rnnoise", help="a clone of xiph/rnnoise to measure beside ours")
    parser.add_argument(
        "--json", help="the file to write, - for the terminal (default: results/steps.json)"
    )
    return parser.parse_args(arguments)


def measure(cases, programs, rounds):
    """What each case takes, a list of dicts. The programs take turns in every round."""
    times = [{name: [] for name in programs.names} for _ in cases]
    facts = [{} for _ in cases]
    for _ in range(rounds):
        for number, case in enumerate(cases):
            for name in programs.names:
                arguments = getattr(case, name)()
                if arguments is None:
                    continue
                words = programs.run(name, arguments)
                times[number][name].append(float(words[0]))
                if name == "ours":
                    facts[number] = {
                        "stored_weights": int(words[2]),
                        "cell_bytes": int(words[3]),
                        "processor": words[4],
                    }
    return [
        {
            "case": case.name(),
            "cell": case.cell,
            "units": case.units,
            "block": list(case.block),
            "weights": case.weights,
            "activations": case.activations,
            "density": case.density,
            "steps": case.steps,
            "microseconds_per_step": median(of_case["ours"]),
            **facts[number],
            **{
                f"{name}_microseconds_per_step": median(of_case[name])
                for name in programs.names
                if name != "ours" and of_case[name]
            },
        }
        for number, (case, of_case) in enumerate(zip(cases, times))
    ]


def median(times):
    return round(statistics.median(times), 4)


def add_attainable(cases, records):
    """How fast reading the live weights alone would be; left out where no compiler tells."""
    with roofline.Program() as program:
        found = program.run(1, BANDWIDTH_SECONDS, *BANDWIDTH_SIZES)
    for case, record in zip(cases, records):
        if found:
            size = case.weight_bytes()
            seconds = size / roofline.bandwidth(found, 1, size)
            record["attainable_microseconds_per_step"] = round(seconds * 1e6, 4)


def as_table(records):
    peers = {"ops": "ops", "rnnoise": "RNNoise", "attainable": "attainable"}
    there = [
        peer
        for peer in peers
        if any(f"{peer}_microseconds_per_step" in record for record in records)
    ]
    header = ["microseconds per step", "ksr.h"]
    for peer in there:
        header += [peers[peer], f"ours / {peers[peer]}"]
    rows = []
    for record in records:
        ours = record["microseconds_per_step"]
        row = [record["case"], f"{ours:.3g}"]
        for peer in there:
            theirs = record.get(f"{peer}_microseconds_per_step")
            row += [f"{theirs:.3g}", f"{ours / theirs:.2f}"] if theirs else ["-", "-"]
        rows.append(row)
    return Table("One step, one thread", header, rows)


def main(arguments=None):
    options = parsed(arguments)
    if options.cell:
        case = Case(
            options.cell,
            options.units,
            tuple(options.block),
            options.weights,
            options.activations,
            options.density,
            options.steps,
            options.inputs,
        )
        cases, names = [case], ["ours"]
    else:
        cases, names = table(), ["ours", "ops"]
    if options.rnnoise:
        names.append("rnnoise")
    programs = Programs(names, options.rnnoise)
    records = measure(cases, programs, options.rounds or (3 if options.cell else 5))
    if options.cell:
        text = json.dumps(records[0])
    else:
        add_attainable(cases, records)
        print(as_table(records).markdown(), file=sys.stderr if options.json == "-" else sys.stdout)
        run = {**machine.describe(1), "commit": machine.commit(), "cases": records}
        text = json.dumps(run, indent=1)
    if options.json == "-" or (options.cell and not options.json):
        print(text)
    else:
        pathlib.Path(options.json or OUTPUT).write_text(text + "\n")


if __name__ == "__main__":
    main()
