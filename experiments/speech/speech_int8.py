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

import tensorflow as tf
from rich.markup import escape

from experiments.common.files import write_json
from experiments.common.number_formats import cost_table, errors_in_all
from experiments.speech.speech_held_out import load, parser, sized, versions
from experiments.speech.speech_recipes import recipes
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import keep_memory, spread

CALIBRATION_BATCHES = 8


def parse(arguments=None):
    """The command line."""
    made = parser(__doc__, "speech_int8")
    made.add_argument(
        "--longer",
        dest="rows",
        action="store_const",
        const=["longer"],
        help="three times the steps",
    )
    return sized(made.parse_args(arguments))


def errors_of(one, held_out):
    """Character error rates of a `Trained` in all formats: a dict as of `errors_in_all`."""
    recipe = one.recipe
    calibration = held_out.speech.batches(recipe.batch, CALIBRATION_BATCHES, seed=0)
    return errors_in_all(one.model(), recipe.block_shape, calibration, held_out.errors)


def write_results(options, held_out, models, runs):
    """Writes every figure to `int8.json`, that of a longer training to `int8-longer.json`."""
    results = {
        "speech": held_out.described,
        "versions": versions(),
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
        held_out = load(options, console)
        models = []
        for seed in range(1, options.seeds + 1):
            *_, recipe = recipes(options, "gru", seed, len(held_out.speech.letters)).values()
            models.append(held_out.trained(recipe))
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    runs = [errors_of(one, held_out) for one in models]
    title = f"GRU-{options.units}, character error rate; seeds: {options.seeds}"
    console.print(cost_table(title, runs, spread))
    write_results(options, held_out, models, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
