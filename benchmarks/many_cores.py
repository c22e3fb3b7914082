"""What many cores should give, on paper, from what two measure.

    python -m benchmarks.many_cores [--threads N] [--output FILE]

An LSTM predicts one sequence, 90 % sparse in blocks of (16, 16), float32, as many inputs as units.
In a step each of n threads multiplies its share of the live recurrent weights, and its share of the
input's for four steps at once; computes its units; publishes them; meets the others; and reads what
they have published:

    step(n) = weights / n / bandwidth + units / n * ELEMENT + barrier(n)
              + lines * round_trip / LINES

- **weights**: bytes of the live recurrent weights, and a quarter of those of the kernel. The
  **bandwidth** is that of the cache that a thread's share of both kernels fits into: up to L2 a
  thread has it for itself; up to L3, which eight have together, a thread has what one thread has
  there; beyond that is memory, and all have together what all threads here have.
- **barrier(n)**: up to eight threads each reads the lines of all others, which takes what two
  threads take and a quarter of a round trip for each further thread; from nine on a tree of four
  branches, up by as many round trips as it has levels, and down by one and a quarter.
- **lines**: of the state that the others publish, 64 bytes each, of which LINES are on their way at
  once.

`barrier` and `round_trip` are measured, by barrier.cc with the library's own pool; bandwidths are
those of `benchmarks.roofline`. What more cores do is arithmetic, and says so: no machine of 16 or
64 has been measured. Writes results/many_cores.json."""

import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.table import Table

from benchmarks import machine, roofline
from benchmarks.training_speed import write

FOLDER = pathlib.Path(__file__).parent
CORE = FOLDER.parent / "keras_sparse_rnn" / "native" / "core"
CORES, UNITS, DENSITY = (1, 2, 16, 64), (1024, 2048, 4096, 8192, 16384), 0.1
SHARING = 8  # cores that have a third cache together
ELEMENT = 1.2e-9  # seconds of a unit's four gates and two states, measured by benchmarks.steps
LINES, BRANCHES, FLAT = 8, 4, 8


def measured(threads, seconds):
    """`{"barrier": [[threads, nanoseconds]], "round_trip": nanoseconds}` of this machine.

    Raises:
        RuntimeError: there is no C++ compiler.
    """
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise RuntimeError("a C++17 compiler is needed to measure a barrier, for example g++")
    with tempfile.TemporaryDirectory(prefix="barrier-") as folder:
        program = pathlib.Path(folder, "barrier")
        sources = [FOLDER / "barrier.cc", CORE / "pool.cc", CORE / "cores.cc"]
        command = [compiler, "-O3", "-std=c++17", "-pthread", *map(str, sources)]
        subprocess.run([*command, "-o", str(program)], check=True, capture_output=True)
        output = subprocess.run(
            [str(program), str(threads), str(seconds)], check=True, capture_output=True, text=True
        )
    return json.loads(output.stdout)


def barrier(cores, found):
    """Seconds of a barrier of so many threads."""
    if cores == 1:
        return 0.0
    two, trip = 1e-9 * dict(map(tuple, found["barrier"]))[2], 1e-9 * found["round_trip"]
    if cores <= FLAT:
        return two + (cores - 2) * trip / 4
    levels = math.ceil(math.log(cores * (BRANCHES - 1) + 1, BRANCHES)) - 1
    return (levels + 1.25) * trip


def bandwidth(share, cores, found):
    """Bytes per second of one of `cores` threads that reads `share` bytes over and over."""
    one, all_threads = (sorted(map(tuple, found["bandwidth"][name])) for name in ("1", "all"))
    second, third = (1024 * int(found["caches"][name].rstrip("K")) for name in ("L2", "L3"))
    at = lambda pairs, size: min(pairs, key=lambda pair: abs(math.log(pair[0] / size)))[1]  # noqa: E731
    if share <= second:
        return at(one, share)
    if share * min(cores, SHARING) <= third:
        return at(one, third // 4)
    return at(one, 256 << 20) if cores == 1 else at(all_threads, 256 << 20) / cores


def step(units, cores, found):
    """Seconds of a step of an LSTM on so many cores."""
    recurrent = 4 * units * units * DENSITY * 4
    share = 2 * recurrent / cores
    read = 1.25 * recurrent / cores / bandwidth(share, cores, found)
    lines = units * 4 / 64 * (cores - 1) / cores
    fetched = lines * 1e-9 * found["round_trip"] / LINES
    return read + units * ELEMENT / cores + barrier(cores, found) + fetched


def on_paper(found):
    """Microseconds a step, by units and cores."""
    return {units: {cores: 1e6 * step(units, cores, found) for cores in CORES} for units in UNITS}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=machine.describe(0)["cores"])
    parser.add_argument("--quick", action="store_true", help="short measurements")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER / "results/many_cores.json")
    options = parser.parse_args(arguments)
    if options.threads < 2:
        parser.error(f"argument --threads: must be at least 2. Received: {options.threads}")
    found = measured(options.threads, 0.05 if options.quick else 1.0)
    all_threads = roofline.measure(options.threads, options.quick)["bandwidth"]
    names = sorted(all_threads, key=int)
    found["bandwidth"] = {"1": all_threads[names[0]], "all": all_threads[names[-1]]}
    described = machine.describe(options.threads)
    found["caches"] = described["caches"]
    table = on_paper(found)
    results = {"machine": described, **found, "microseconds_on_paper": table}
    write(options.output, lambda draft: draft.write_text(json.dumps(results, indent=1) + "\n"))
    printed = Table("units", *(f"{cores} cores" for cores in CORES), title="microseconds a step")
    for units, row in table.items():
        figures = (f"{row[cores]:.1f} ({row[1] / row[cores]:.1f}x)" for cores in CORES)
        printed.add_row(str(units), *figures)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"barrier: {found['barrier']} ns, round trip: {found['round_trip']} ns")
    console.print(printed)


if __name__ == "__main__":
    main()
