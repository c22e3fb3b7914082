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

import dataclasses
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import tensorflow as tf
from rich.markup import escape

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, block_shape, quick_parser
from experiments.common.learning_rates import tune
from experiments.speech.speech_audio import spoken
from experiments.speech.speech_data import Speech
from experiments.speech.speech_measure import milliseconds_per_step
from experiments.speech.speech_network import CELLS
from experiments.speech.speech_recipes import LONGER, ROWS, larger_units, one_of_each_kind, recipes
from experiments.speech.speech_recordings import recorded
from experiments.speech.speech_tables import console, draw, introduce, table, write_results
from experiments.speech.speech_training import keep_memory, spread, trained

UTTERANCES, QUICK_UTTERANCES = (8000, 1600), (192, 32)


def add_data(parser):
    """`--data`, a folder of recordings."""
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="recordings in the layout of LibriSpeech (default: speech made with espeak-ng)",
    )


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "small models, few steps, few sentences")
    add_data(parser)
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
    add_output(parser, "speech_ctc", "features, models and pictures")
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
    return prepared(options, *utterances(options, options.tune))


def utterances(options, tuning):
    """What is learnt and what is tested, or in place of the test what is set aside for tuning: two
    lists of `Spoken` or `Recorded`.
    """
    if options.data is not None:
        return recorded(options.data, tuning)
    return spoken(*(QUICK_UTTERANCES if options.quick else UTTERANCES), tuning=tuning)


def prepared(options, training, test):
    """The `Speech` of two lists of utterances."""
    source = "espeak-ng" if options.data is None else options.data
    options.output.mkdir(parents=True, exist_ok=True)
    return Speech(training, test, options.output / "features", console, source)


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


if __name__ == "__main__":
    sys.exit(main())
