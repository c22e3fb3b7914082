"""What the runs of `char_lm` came to: the table, the file of all figures, the pictures."""

import dataclasses
import os
import pathlib
import platform
import statistics

import keras
import numpy as np
import tensorflow as tf
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.text.char_measure import (
    STEPS,
    sample,
    spread,
)

console = console_of()


def table(runs, deployed):
    """The one table: accuracy over all seeds, size and speed of the first."""
    seeds = f"{len(runs)} seeds, mean ± standard deviation" if len(runs) > 1 else "1 seed"
    result = Table(title=f"{seeds}; sizes, times (batch 1, {STEPS} steps) and errors of the first")
    result.add_column("")
    for title in titles(runs):
        result.add_column(title, justify="right")
    columns = list(zip(*runs))
    bits = [[one.bits for one in column] for column in columns]
    dense, equal, *_ = means = [statistics.mean(values) for values in bits]
    result.add_row("bits per character", *map(spread, bits))
    result.add_row(
        "  against dense", "", *(f"{100 * (mean / dense - 1):+.1f} %" for mean in means[1:])
    )
    result.add_row(
        "  against as many parameters",
        "",
        "",
        *(f"{100 * (mean / equal - 1):+.1f} %" for mean in means[2:]),
    )
    result.add_row(
        "sparsity of the LSTM", *(f"{100 * column[0].sparsity:.1f} %" for column in columns)
    )
    result.add_row("parameters", *(f"{column[0].parameters:,}" for column in columns))
    result.add_row(
        "training, minutes (pruned: after the dense)",
        *(f"{statistics.mean(one.seconds for one in column) / 60:.1f}" for column in columns),
    )
    result.add_section()
    for label, cell in DEPLOYED_ROWS.items():
        result.add_row(label, "", "", *map(cell, deployed))
    return result


def titles(runs):
    """The names of the columns."""
    dense, equal, *pruned = (one.recipe for one in runs[0])
    blocks = (f"{one.block_shape[0]} x {one.block_shape[1]}" for one in pruned)
    return [
        f"dense\nLSTM-{dense.units}",
        f"dense, as many\nparameters: LSTM-{equal.units}",
        *(f"pruned in\n{block}: LSTM-{dense.units}" for block in blocks),
    ]


DEPLOYED_ROWS = {
    "LiteRT file, bytes": lambda one: f"{one.litert.bytes:,}",
    "  the same, dense": lambda one: (
        f"{one.litert.dense_bytes:,} ({one.litert.dense_bytes / one.litert.bytes:.1f} x)"
    ),
    "microseconds a step: Keras LSTM": lambda one: f"{one.keras_microseconds:.1f}",
    "  BlockSparseLSTM": lambda one: (
        f"{one.sparse_microseconds:.1f} ({one.keras_microseconds / one.sparse_microseconds:.1f} x)"
    ),
    "  LiteRT, whole model": lambda one: f"{1000 * one.litert.milliseconds_per_step:.1f}",
    "largest error: substitute": lambda one: f"{one.difference:.1e}",
    "  LiteRT": lambda one: f"{one.litert.largest_error:.1e}",
}


def write_results(options, text, runs, deployed):
    """Writes every figure of the table to `results.json`, so that it can be checked and drawn
    again.
    """
    skipped = ("loss", "sparsities", "path")
    models = [
        [{k: v for k, v in dataclasses.asdict(one).items() if k not in skipped} for one in run]
        for run in runs
    ]
    results = {
        "text": {**text.described, "python": platform.python_version()},
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "machine": {"processor": processor(), "cores": len(os.sched_getaffinity(0))},
        "columns": [title.replace("\n", " ") for title in titles(runs)],
        "models": models,
        "deployed": [figures_of(one) for one in deployed],
    }
    path = options.output / "results.json"
    write_json(path, results)
    console.print(f"Figures: {path}")


def figures_of(deployed):
    """The figures of a `Deployed` as JSON takes them, without the path of its file."""
    figures = dataclasses.asdict(deployed)
    del figures["litert"]["path"]
    return figures


def draw(options, text, run):
    """Writes the pictures, and a sample of the pruned model's text."""
    dense, _, *pruned = run
    curves = {"dense": {"loss": dense.loss, "sparsity": dense.sparsities}}
    for one in pruned:
        rows, columns = one.recipe.block_shape
        curves[f"{rows} x {columns}"] = {"loss": one.loss, "sparsity": one.sparsities}
        ksr.plot.masks(one.model(), options.output / f"masks-{rows}x{columns}.png")
    ksr.plot.curves(curves, options.output / "training.png")
    written = sample(pruned[0].model(), text)
    (options.output / "sample.txt").write_text(written + "\n", encoding="utf-8")
    console.print(
        f"Pictures: {', '.join(str(path) for path in sorted(options.output.glob('*.png')))}\n"
    )
    console.print(Panel(escape(written), title="Written by the pruned model"))


def processor():
    """The processor's name where Linux tells it."""
    information = pathlib.Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
