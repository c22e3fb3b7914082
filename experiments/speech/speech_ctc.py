"""A speech recogniser: deep recurrent layers of two directions with CTC, dense and pruned in blocks
while they train.

    python -m experiments.speech.speech_ctc --quick
        half a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_ctc --cells gru --seeds 3
        the table of one kind of layer, with mean and spread: dense and pruned, equal steps
    python -m experiments.speech.speech_ctc --rows longer wider
        dense for twice the steps; small, pruned, and wider and pruned for three times
    python -m experiments.speech.speech_ctc --rows levers
        pruned by magnitude, and with another scope
    python -m experiments.speech.speech_ctc --tune
        learning rates for each kind of network that --rows asks for
    python -m experiments.speech.speech_ctc --data FOLDER
        recordings of your own, SPEAKER/CHAPTER/*.trans.txt with wav or flac beside it

It is the setting of Narang, Undersander and Diamos 2017 (arXiv 1711.02782), in small. Numbers and
words are spoken by espeak-ng (on Debian: apt install espeak-ng), with noise; the voices and the
sentences of the test are not heard in training. Finished models are kept in --output and not
trained again, so a run that was stopped goes on where it was."""

import argparse
import dataclasses
import math
import os
import pathlib
import platform
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.arguments import block_shape
from experiments.common.files import write_json
from experiments.common.learning_rates import tune
from experiments.speech.speech_audio import recorded, spoken
from experiments.speech.speech_data import Speech
from experiments.speech.speech_measure import draw_curves, draw_utterance, milliseconds_per_step
from experiments.speech.speech_training import (
    CELLS,
    SCOPES,
    Recipe,
    keep_memory,
    spread,
    trained,
    weights,
)

console = Console(width=None if sys.stdout.isatty() else 140)
UTTERANCES, QUICK_UTTERANCES = (8000, 1600), (192, 32)
# Of the group lasso. The GRU's is the best of 3e-5 to 1e-3, the SimpleRNN the better the less it
# has (docs/speech.md).
STRENGTHS = {"rnn": 3e-5, "gru": 3e-4}
DENSE, SMALL = "dense", "dense, as many weights as pruned"
PRUNED, LASSO, WIDE = "pruned", "lasso while pruned", "wide"
ROWS = ("equal", "longer", "wider", "levers")
COMPARED = {"gate": "gate by gate", "model": "gates compared"}
LONGER = {2: "twice the steps", 3: "three times the steps"}
# Those that --tune found: a network with few weights wants a higher rate than one with many. That
# of the wide one lies between them.
LEARNING_RATES = {
    "rnn": {DENSE: 1e-3, SMALL: 4e-3, PRUNED: 2e-3, WIDE: 1.5e-3},
    "gru": {DENSE: 1.5e-3, SMALL: 3e-3, PRUNED: 3e-3, WIDE: 2e-3},
}


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small models, few steps, few sentences: shows that everything works",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="recordings in the layout of LibriSpeech (default: speech made with espeak-ng)",
    )
    parser.add_argument(
        "--cells",
        nargs="+",
        choices=list(CELLS),
        help="kinds of layers (default: rnn gru, with --quick rnn)",
    )
    parser.add_argument(
        "--units", type=int, help="of each direction of a layer (default: 256, with --quick 32)"
    )
    parser.add_argument(
        "--steps", type=int, help="batches of each training (default: 4800, with --quick 40)"
    )
    parser.add_argument(
        "--sparsity",
        type=float,
        default=0.9,
        help="fraction of the recurrent layers' weights to prune (default: 0.9)",
    )
    parser.add_argument(
        "--blocks",
        nargs="+",
        type=block_shape,
        metavar="RxC",
        help="block shapes (default: 4x4 16x16, with --quick 4x4)",
    )
    rows = (
        "equal: as many steps for all, in every block shape; longer: twice or three times the "
        "steps; wider: --larger times the units, three times the steps; levers: pruned in "
        "other ways"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=["equal"], help=f"{rows} (default: equal)"
    )
    parser.add_argument(
        "--larger",
        type=float,
        default=1.5,
        help="units of the larger network over those of the dense one (default: 1.5)",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help=(
            "learning rates of these rows instead, by utterances that are not those of the "
            "test, seed 0"
        ),
    )
    output = {"type": pathlib.Path, "default": pathlib.Path("speech_ctc"), "metavar": "FOLDER"}
    parser.add_argument(
        "--output", **output, help="for features, models and pictures (default: speech_ctc)"
    )
    options = parser.parse_args(arguments)
    options.cells = options.cells or (["rnn"] if options.quick else list(CELLS))
    options.blocks = options.blocks or ([(4, 4)] if options.quick else [(4, 4), (16, 16)])
    options.units = (32 if options.quick else 256) if options.units is None else options.units
    options.steps = (40 if options.quick else 4800) if options.steps is None else options.steps
    return options


def check(options):
    """Raises a `ValueError` for what would fail only after minutes of training."""
    ksr.patterns.check_sparsity(options.sparsity, "--sparsity")
    for name, least in (("units", 1), ("steps", 20), ("seeds", 1)):
        value = getattr(options, name)
        if not value >= least:
            raise ValueError(f"`--{name}` must be at least {least}. Received: {value}")
    if options.tune and "levers" in options.rows:
        raise ValueError(
            "`--rows levers` has the rates of the other rows and does not go with `--tune`"
        )
    if not options.sparsity > 0:
        raise ValueError(f"`--sparsity` must be above 0. Received: {options.sparsity}")
    if not (math.isfinite(options.larger) and larger_units(options) > options.units):
        raise ValueError(
            f"`--larger` times the {options.units} units must make more of them. Received: "
            f"{options.larger}"
        )
    for block in options.blocks:
        ksr.patterns.check_block_shape(block, "--blocks")
        ksr.patterns.check_block_fits(block, (options.units, options.units), "the recurrent kernel")


def load(options):
    """The speech that is learnt and tested."""
    if options.data is not None:
        utterances, source = recorded(options.data, options.tune), options.data
    else:
        utterances, source = (
            spoken(*(QUICK_UTTERANCES if options.quick else UTTERANCES), tuning=options.tune),
            "espeak-ng",
        )
    options.output.mkdir(parents=True, exist_ok=True)
    return Speech(*utterances, options.output / "features", console, source)


def recipes(options, cell, seed, letters):
    """Titles and `Recipe`s of the models of one cell and one seed that `--rows` asks for, the dense
    one before them.

    All start from random weights. Pruned ones of more steps, the wide one too, have the last of the
    block shapes and a group lasso.
    """
    rates = LEARNING_RATES[cell]
    dense = Recipe(
        cell=cell, units=options.units, steps=options.steps, learning_rate=rates[DENSE], seed=seed
    )
    if options.quick:
        dense = dataclasses.replace(dense, layers=1, batch=8)
    # So short a training as a quick one cannot tell which kernel matters more: every gate gets the
    # same sparsity.
    scope = "gate" if options.quick else SCOPES[cell]
    pruned = dataclasses.replace(
        dense, sparsity=options.sparsity, scope=scope, learning_rate=rates[PRUNED]
    )
    small = dataclasses.replace(
        dense,
        units=nearest_units(dense, letters, weights(pruned, letters)),
        learning_rate=rates[SMALL],
    )
    in_blocks = {}
    for block in options.blocks:
        shape, plain = f"{block[0]} x {block[1]}", dataclasses.replace(pruned, block_shape=block)
        in_blocks |= {
            f"{PRUNED}, {shape}": plain,
            f"{LASSO}, {shape}": dataclasses.replace(plain, lasso=STRENGTHS[cell]),
        }
    *_, (last, lasso) = in_blocks.items()
    wide = dataclasses.replace(lasso, units=larger_units(options), learning_rate=rates[WIDE])
    rows = {
        "equal": {SMALL: small, **in_blocks},
        # A step of a network with few weights takes a third of a dense one's time, or less.
        "longer": dict(
            [_longer(DENSE, dense, 2), _longer(SMALL, small, 3), _longer(last, lasso, 3)]
        ),
        "wider": dict([_longer(f"{WIDE}, {last}", wide, 3)]),
        "levers": {last: lasso, f"{last}, by magnitude": dataclasses.replace(lasso, criterion="l2")}
        | {
            f"{last}, {how}": dataclasses.replace(lasso, scope=other)
            for other, how in COMPARED.items()
            if other != lasso.scope
        },
    }
    return {DENSE: dense} | {
        title: one for name in ROWS if name in options.rows for title, one in rows[name].items()
    }


def _longer(title, recipe, factor):
    return f"{title}, {LONGER[factor]}", dataclasses.replace(recipe, steps=factor * recipe.steps)


def tune_rates(options, speech):
    """Finds the learning rates of these rows, by utterances that are not those of the test."""

    def error(recipe, rate):
        folder = options.output / f"rate-{rate:g}"
        folder.mkdir(exist_ok=True)
        return trained(dataclasses.replace(recipe, learning_rate=rate), speech, folder, console).cer

    kinds = {
        cell: one_of_each_kind(recipes(options, cell, 0, len(speech.letters)))
        for cell in options.cells
    }
    tune(
        kinds,
        error,
        spread,
        lambda cell: f"{CELLS[cell].__name__}, character error rate on utterances set aside",
        options.output,
        console,
    )


def one_of_each_kind(asked):
    """The dense ones of these recipes, and the last with a lasso of each number of units."""
    last = {one.units: title for title, one in asked.items() if one.lasso}
    return {
        title: one for title, one in asked.items() if not one.sparsity or title == last[one.units]
    }


def larger_units(options):
    """The units of the wide network."""
    return round(options.larger * options.units)


def nearest_units(recipe, letters, count):
    """The units of the dense network whose weights come nearest to `count`."""
    return min(
        range(1, recipe.units + 1), key=lambda units: abs(weights(recipe, letters, units) - count)
    )


def main(arguments=None):
    """Trains, measures and prints; returns the exit status."""
    tf.get_logger().setLevel("ERROR")  # every model is traced anew, and is meant to
    keep_memory()
    options = parse(arguments)
    try:
        check(options)
        speech = load(options)
        if options.tune:
            tune_rates(options, speech)
            return 0
        introduce(options, speech)
        runs = {cell: [] for cell in options.cells}
        for seed in range(1, options.seeds + 1):
            for cell in options.cells:
                asked = recipes(options, cell, seed, len(speech.letters))
                runs[cell].append(
                    {
                        title: trained(recipe, speech, options.output, console)
                        for title, recipe in asked.items()
                    }
                )
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    times = {cell: step_times(of_cell[0], speech, options) for cell, of_cell in runs.items()}
    for cell, of_cell in runs.items():
        console.print(table(cell, of_cell, times[cell]))
    write_results(options, speech, runs, times)
    draw(options, speech, runs)
    return 0


def step_times(models, speech, options):
    """Milliseconds of a step of each of the models; those of more steps take what those of single
    ones do.
    """
    measured = {}
    for title, one in models.items():
        measured.setdefault(_of_any_length(title), one)
    times = milliseconds_per_step(measured, speech, rounds=2 if options.quick else 7)
    return {title: times[_of_any_length(title)] for title in [*models, "keras"]}


def _of_any_length(title):
    for suffix in LONGER.values():
        title = title.removesuffix(f", {suffix}")
    return title


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


if __name__ == "__main__":
    sys.exit(main())
