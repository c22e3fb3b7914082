"""What a sparse LSTM costs by its size: peak memory and time of a training step.

    python -m benchmarks.large [--output FILE] [--chart FILE] [--quick]

An LSTM of as many inputs as units, sparse in blocks of 16 x 16 from the start, a Dense layer of one
unit on it, Adam; batches of 32 sequences of 20 steps, on all cores. From 1,024 to 32,768 units:

- at a constant number of live weights, 4.2 million, as many as half an LSTM-1024 has;
- at a constant density of 0.5 %;
- and an LSTM-1024 at 90 %, whose rate, multiplications and additions of live weights a second, is
  what the others are compared with.

Each runs in a process of its own: its peak is what the system says the process held at most, the
Python interpreter and TensorFlow included. What weights, gradients and slots of a dense layer of
that size alone would take stands beside it. A step with an exchange of blocks at random
(`Evolution(growth="random")`) is timed by itself. Writes results/large.json and a chart."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.charts import COLOURS, _panels, _save
from benchmarks.training_speed import write

FOLDER = pathlib.Path(__file__).parent
UNITS = (1024, 2048, 4096, 8192, 16384, 32768)
BATCH, TIME, LIVE, SPARSITY = 32, 20, 1 << 22, 0.995
STEPS = 5  # that are timed, after two
KINDS = {
    "live": "4.2 million live weights",
    "density": "0.5 % live",
    "reference": "LSTM-1024, 90 %",
}


def cases(units=UNITS, live=LIVE, reference=1024):
    """`[(kind, units, sparsity)]`."""
    whole = {size: 8 * size**2 for size in units}
    return [
        ("reference", reference, 0.9),
        *(("live", size, 1 - live / whole[size]) for size in units),
        *(("density", size, SPARSITY) for size in units),
    ]


def measured(units, sparsity, steps=STEPS):
    """One case, in this process: a dict of bytes, seconds and live weights."""
    import keras
    import tensorflow as tf

    import keras_sparse_rnn as ksr

    loaded = _peak()
    keras.utils.set_random_seed(1)
    layer = ksr.layers.BlockSparseLSTM(units, sparsity=sparsity)
    model = keras.Sequential([keras.Input((TIME, units)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    built = _peak()
    batch = tf.random.normal((BATCH, TIME, units)), tf.random.normal((BATCH, 1))
    times, exchange = [], steps + 2
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: times.append(-time.perf_counter()),
        on_train_batch_end=lambda batch, logs: times.append(times.pop() + time.perf_counter()),
    )
    evolution = ksr.callbacks.Evolution(exchange, end_step=exchange + 1, growth="random")
    data = tf.data.Dataset.from_tensors(batch).repeat(exchange)
    model.fit(data, shuffle=False, verbose=0, callbacks=[evolution, clock])
    values = [layer.kernel_values, layer.recurrent_kernel_values]
    return {
        "units": units,
        "sparsity": sparsity,
        "live_weights": sum(one.shape.num_elements() for one in values),
        "bytes_loaded": loaded,
        "bytes_built": built,
        "bytes_peak": _peak(),
        "bytes_dense": 4 * 4 * (8 * units**2 + 4 * units),
        "seconds": statistics.median(times[2:-1]),
        "seconds_with_exchange": times[-1],
    }


def summary(results):
    """The records with how many times longer their step takes than their live weights would at the
    rate of the reference.
    """
    (reference,) = (one for one in results if one["kind"] == "reference")
    rate = reference["live_weights"] / reference["seconds"]
    return [
        {**one, "times_the_rate": one["seconds"] / (one["live_weights"] / rate)} for one in results
    ]


def chart(results, path):
    """Peak memory and time of a step over the units."""
    figure, axes = _panels(2, columns=2)
    colours = {"live": COLOURS["ours"], "density": COLOURS["ours, int8"]}
    for axis, name, scale in zip(axes, ("bytes_peak", "seconds"), (1e9, 1)):
        for kind, colour in colours.items():
            own = [one for one in results if one["kind"] == kind]
            points = [one["units"] for one in own], [one[name] / scale for one in own]
            axis.plot(*points, label=KINDS[kind], color=colour, marker="o", markersize=3.5)
        if name == "bytes_peak":
            points = [one["units"] for one in own], [one["bytes_dense"] / scale for one in own]
            label = "dense: weights, gradients and slots alone"
            axis.plot(*points, label=label, color="black", linestyle=":")
        axis.set(xscale="log", yscale="log", xlabel="units, and as many inputs")
        axis.set_xticks([one["units"] for one in own], [f"{one['units']:,}" for one in own])
        axis.tick_params(axis="x", labelsize=7, labelrotation=30)
        axis.minorticks_off()
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7)
    axes[0].set(ylabel="peak of the process, GB")
    axes[1].set(ylabel="seconds a training step")
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small layers, few steps")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER / "results/large.json")
    parser.add_argument(
        "--chart", type=pathlib.Path, default=FOLDER.parent / "docs/pictures/benchmarks-large.png"
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        units, sparsity, file = options.measure
        record = measured(int(units), float(sparsity), 2 if options.quick else STEPS)
        pathlib.Path(file).write_text(json.dumps(record))
        return
    wanted = cases((64, 128), 1 << 13, 64) if options.quick else cases()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, units, sparsity in wanted:
            file = pathlib.Path(folder, "record.json")
            command = [sys.executable, "-m", "benchmarks.large", *["--quick"] * options.quick]
            command += ["--measure", str(units), str(sparsity), str(file)]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
            found.append({"kind": kind, **json.loads(file.read_text())})
    found = summary(found)
    table = Table("", "units", "sparsity", "live weights", "peak", "dense", "step", "to the rate")
    for one in found:
        table.add_row(
            KINDS[one["kind"]],
            f"{one['units']:,}",
            f"{100 * one['sparsity']:.2f} %",
            f"{one['live_weights'] / 1e6:.2f} M",
            f"{one['bytes_peak'] / 1e9:.2f} GB",
            f"{one['bytes_dense'] / 1e9:.2f} GB",
            f"{1e3 * one['seconds']:.0f} ms",
            f"{one['times_the_rate']:.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    results = {"machine": machine.describe(os.cpu_count()), "cases": found}
    write(options.output, lambda draft: draft.write_text(json.dumps(results, indent=1) + "\n"))
    chart(found, options.chart)


def _peak():
    """What this process has held at most, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
