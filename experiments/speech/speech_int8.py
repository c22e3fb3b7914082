"""What weights and activations of fewer bits cost a speech recogniser.

    python -m experiments.speech.speech_int8 --quick
        a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_int8 --seeds 3
        the GRU pruned to 90 % in (16, 16): character error rates in float32, bfloat16 and int8
    python -m experiments.speech.speech_int8 --longer
        the same after three times the steps
    python -m experiments.speech.speech_int8 --data FOLDER
        recordings of your own, as speech_ctc takes them

The models are trained as in `speech_ctc`, pruned while they train, with a group lasso. Validation
are the utterances that are set aside there for tuning, test those that are tested there. Ranges of
int8 activations are found on utterances of the training, altered as they are there."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, quick_parser
from experiments.common.files import write_json
from experiments.common.number_formats import PARTS, cost_table, errors_in_all
from experiments.speech import speech_ctc
from experiments.speech.speech_recipes import recipes
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import (
    character_error_rate,
    keep_memory,
    spread,
    trained,
    transcribe,
)

CALIBRATION_BATCHES = 8


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model, few steps, few sentences")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="recordings in the layout of LibriSpeech (default: speech made with espeak-ng)",
    )
    parser.add_argument(
        "--steps", type=int, help="batches of the training (default: 4800, with --quick 40)"
    )
    parser.add_argument(
        "--longer",
        dest="rows",
        action="store_const",
        const=["longer"],
        default=["equal"],
        help="three times the steps",
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    add_output(parser, "speech_int8", "features, models and figures")
    parser.set_defaults(cells=["gru"], sparsity=0.9, larger=1.5, blocks=[(16, 16)], tune=False)
    options = parser.parse_args(arguments)
    options.units = 64 if options.quick else 256
    options.steps = (40 if options.quick else 4800) if options.steps is None else options.steps
    return options


def load(options):
    """The speech, which is tested on validation and test one after the other, and how many
    utterances are validation.
    """
    training, aside = speech_ctc.utterances(options, tuning=True)
    _, test = speech_ctc.utterances(options, tuning=False)
    return speech_ctc.prepared(options, training, [*aside, *test]), len(aside)


def errors_of(one, speech, aside):
    """Character error rates of a `Trained` in all formats: a dict as of `errors_in_all`."""

    def errors(model):
        heard = transcribe(model, speech)
        parts = (slice(aside), slice(aside, None))
        rates = (character_error_rate(heard[part], speech.texts[part]) for part in parts)
        return dict(zip(PARTS, rates, strict=True))

    recipe = one.recipe
    calibration = speech.batches(recipe.batch, CALIBRATION_BATCHES, seed=0)
    return errors_in_all(one.model(), recipe.block_shape, calibration, errors)


def write_results(options, speech, aside, models, runs):
    """Writes every figure to `int8.json`, that of a longer training to `int8-longer.json`."""
    results = {
        "speech": {
            "source": speech.source,
            "utterances": [len(speech.training), aside, len(speech.test) - aside],
            "letters": "".join(speech.letters),
            "digest": speech.digest,
        },
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "calibration_batches": CALIBRATION_BATCHES,
        "models": [
            {
                "recipe": dataclasses.asdict(one.recipe),
                "parameters": one.parameters,
                "sparsity": one.sparsity,
                "character_error_rates": rates,
            }
            for one, rates in zip(models, runs, strict=True)
        ],
    }
    longer = "-longer" * ("longer" in options.rows)
    path = options.output / f"int8{longer}.json"
    write_json(path, results)
    console.print(f"Figures: {path}")


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    tf.get_logger().setLevel("ERROR")  # every model is traced anew, and is meant to
    keep_memory()
    options = parse(arguments)
    try:
        speech_ctc.check(options)
        speech, aside = load(options)
        models = []
        for seed in range(1, options.seeds + 1):
            *_, recipe = recipes(options, "gru", seed, len(speech.letters)).values()
            models.append(trained(recipe, speech, options.output, console))
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    runs = [errors_of(one, speech, aside) for one in models]
    title = f"GRU-{options.units}, character error rate; seeds: {options.seeds}"
    console.print(cost_table(title, runs, spread))
    write_results(options, speech, aside, models, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
