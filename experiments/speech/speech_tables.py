"""What is going to be trained, and what came of it: tables, figures, pictures."""

import dataclasses
import os
import platform
import statistics

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.speech.speech_measure import draw_curves, draw_utterance
from experiments.speech.speech_network import CELLS
from experiments.speech.speech_recipes import DENSE, SMALL
from experiments.speech.speech_training import spread

console = console_of(140)


def introduce(options, speech):
    """Says what is going to happen."""
    training, test = speech.hours
    console.print(
        f"Speech: {speech.source}; {len(speech.training):,} utterances of {speech.speakers[0]} "
        f"voices to learn ({training:.2f} hours), {len(speech.test):,} of {speech.speakers[1]} "
        f"voices held out ({test:.2f} hours); {len(speech.letters)} letters.\n"
        + (
            f"{speech.too_short} utterances have too few frames for their letters and are left "
            "out.\n"
            if speech.too_short
            else ""
        )
        + f"Now, for {options.seeds} seed{'s' * (options.seeds > 1)} and "
        f"{' and '.join(options.cells)}: train it dense, and "
        + ", and ".join(_what(rows, options) for rows in options.rows)
        + ".\n"
    )


def _what(rows, options):
    shapes = [f"{r} x {c}" for r, c in options.blocks]
    pruned = f"pruned to {100 * options.sparsity:g} % in blocks of"
    return {
        "equal": (
            f"small and dense, and {pruned} {' and '.join(shapes)}, with and without a "
            "group lasso while it is pruned"
        ),
        "longer": (
            f"dense for twice the steps; small and dense for three times, and {pruned} "
            f"{shapes[-1]} with a group lasso"
        ),
        "levers": (
            f"{pruned} {shapes[-1]} with a group lasso: by Fisher's criterion, by "
            "magnitude, and with another scope"
        ),
        "wider": (
            f"of {options.larger:g} times the units for three times the steps, {pruned} "
            f"{shapes[-1]} with a group lasso"
        ),
    }[rows]


def table(cell, runs, times):
    """The table of one kind of layer: a line for each model."""
    seeds = f"{len(runs)} seeds, mean ± standard deviation" if len(runs) > 1 else "1 seed"
    result = Table(title=f"{CELLS[cell].__name__}, {seeds}")
    result.add_column("")
    for heading in (
        "units",
        "character error rate",
        "against dense",
        "weights",
        "sparsity",
        "training, minutes",
        "ms a step",
    ):
        result.add_column(heading, justify="right")
    dense = statistics.mean(run[DENSE].cer for run in runs)
    for title, one in runs[0].items():
        rates = [run[title].cer for run in runs]
        against = (
            ""
            if title == DENSE
            else f"{100 * (statistics.mean(rates) / max(dense, 1e-9) - 1):+.1f} %"
        )
        minutes = f"{statistics.mean(run[title].seconds for run in runs) / 60:.1f}"
        sparsity = f"{100 * one.sparsity:.1f} %"
        result.add_row(
            title,
            f"{one.recipe.units}",
            spread(rates),
            against,
            f"{one.parameters:,}",
            sparsity,
            minutes,
            f"{times[title]:.0f}",
        )
    result.add_row(
        "Keras's own layers, dense",
        f"{runs[0][DENSE].recipe.units}",
        *[""] * 5,
        f"{times['keras']:.0f}",
    )
    return result


def write_results(options, speech, runs, times):
    """Writes every figure of the tables to `results.json`, so that they can be checked and drawn
    again.
    """
    skipped = ("loss", "sparsities", "path", "heard")

    def figures(one):
        return {
            name: value for name, value in dataclasses.asdict(one).items() if name not in skipped
        }

    results = {
        "speech": {
            "source": speech.source,
            "utterances": [len(speech.training), len(speech.test)],
            "voices": speech.speakers,
            "hours": speech.hours,
            "letters": "".join(speech.letters),
            "digest": speech.digest,
        },
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
        },
        "milliseconds_per_step": times,
        "models": {
            cell: [{title: figures(one) for title, one in run.items()} for run in of_cell]
            for cell, of_cell in runs.items()
        },
    }
    path = options.output / "results.json"
    write_json(path, results)
    console.print(f"Figures: {path}")


def draw(options, speech, runs):
    """Writes the pictures."""
    for cell, (first, *_) in runs.items():
        draw_curves(first, options.output / f"training-{cell}.png")
        shown = {title: one for title, one in first.items() if not title.startswith(SMALL)}
        draw_utterance(shown, speech, options.output / f"utterance-{cell}.png")
    console.print(
        f"Pictures: {', '.join(str(path) for path in sorted(options.output.glob('*.png')))}"
    )
