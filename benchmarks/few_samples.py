"""From which batch on panels of sixteen samples are faster than rows, on each instruction set.

    python -m benchmarks.few_samples [--output FILE] [--quick]

The kernels know two layouts: one sample after the other (rows), and sixteen side by side (panels).
An LSTM, 90 % sparse, as many inputs as units, is run in rows, in panels, and as the library
chooses: whole panels first, then what they leave in rows where that is little enough. Forward and
with its gradient, by the ops of TensorFlow, two threads, in turns in one process; one process for
each instruction set. `kFewSamples` and `kFewLeft` of native/core/vector.inc, the numbers of samples
below which the library takes rows, come from here. Writes results/few_samples.json."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.block_shapes import problem
from benchmarks.training_speed import write

FOLDER = pathlib.Path(__file__).parent
BATCHES = (1, 2, 4, 6, 8, 10, 12, 14, 16, 17, 20, 22, 24, 28, 40)
SHAPES, UNITS, STEPS = ((16, 16), (1, 16), (4, 4)), (256, 1024), 20
LAYOUTS = {"rows": 1 << 20, "panels": 1, "chosen": 0}  # below how many samples rows are taken
SETS = ("avx512", "avx2", "neon", "plain")


def measured(rounds, units, batches):
    """`[{"units", "shape", "batch", "gradients", "rows", "panels", "chosen"}]` on this process's
    instruction set; milliseconds."""
    from keras_sparse_rnn.ops import loader

    choose = loader._controls().keras_sparse_rnn_set_few_samples
    found = []
    for size in units:
        for shape in SHAPES:
            for batch in batches:
                for gradients in (False, True):
                    run, _ = problem(size, shape, 0.9, batch, STEPS, gradients, size)
                    times = {layout: [] for layout in LAYOUTS}
                    for turn in range(rounds + 1):
                        for layout, below in LAYOUTS.items():
                            choose(below)
                            run()
                            start = time.perf_counter()
                            run()
                            if turn:
                                times[layout].append(1e3 * (time.perf_counter() - start))
                    medians = {layout: statistics.median(t) for layout, t in times.items()}
                    found.append(
                        {"units": size, "shape": list(shape), "batch": batch}
                        | {"gradients": gradients}
                        | {layout: round(median, 4) for layout, median in medians.items()}
                    )
    return found


def ratios(found, gradients, layout):
    """`{batch: time in `layout` to that in panels}`, the geometric mean over sizes and shapes."""
    mean = {}
    for batch in sorted({case["batch"] for case in found}):
        cases = [c for c in found if c["batch"] == batch and c["gradients"] == gradients]
        mean[batch] = statistics.geometric_mean(c[layout] / c["panels"] for c in cases)
    return mean


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds of a small layer")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER / "results/few_samples.json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    rounds, units, batches = (2, (64,), (2, 16)) if options.quick else (5, UNITS, BATCHES)
    if options.measure:
        pathlib.Path(options.measure).write_text(json.dumps(measured(rounds, units, batches)))
        return
    results = {"machine": machine.describe(2), "sets": {}}
    console = Console(width=None if sys.stdout.isatty() else 120)
    for name in SETS:
        draft = options.output.with_suffix(f".{name}")
        command = [sys.executable, "-m", "benchmarks.few_samples", "--measure", str(draft)]
        environment = os.environ | {
            "KERAS_SPARSE_RNN_CPU": name,
            "KERAS_SPARSE_RNN_THREADS": "2",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        if not available(name):
            console.print(f"{name}: not on this machine")
            continue
        command += ["--quick"] if options.quick else []
        try:
            subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
            found = json.loads(draft.read_text())
        finally:
            draft.unlink(missing_ok=True)
        mean = {
            f"{layout}, {kind}": ratios(found, kind == "gradient", layout)
            for kind in ("forward", "gradient")
            for layout in ("rows", "chosen")
        }
        results["sets"][name] = {"to_panels": mean, "cases": found}
        table = Table("batch", *map(str, batches), title=f"{name}: time to that in panels")
        for kind, of in mean.items():
            table.add_row(kind, *(f"{ratio:.2f}" for ratio in of.values()))
        console.print(table)
    write(options.output, lambda draft: draft.write_text(json.dumps(results, indent=1) + "\n"))


def available(name):
    """Whether this processor has an instruction set."""
    from keras_sparse_rnn.ops import loader

    try:
        loader.set_cpu(name)
    except ValueError:
        return False
    finally:
        loader.set_cpu(None)
    return True


if __name__ == "__main__":
    main()
