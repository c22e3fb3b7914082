"""What weights and activations of fewer bits cost a character language model.

    python -m experiments.text.char_int8 --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.text.char_int8 --seeds 3
        LSTM-512 pruned to 90 % in (16, 16): bits per character in float32, bfloat16 and int8

The models are those of `char_lm`, trained as they are there; with its --output they are taken from
there. The text that is held out is cut in two: its first half is called validation, its second half
test. Ranges of int8 activations are found on text of the training."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.files import write_json
from experiments.common.number_formats import PARTS, cost_table, errors_in_all
from experiments.text import char_lm
from experiments.text.char_measure import spread
from experiments.text.char_network import bits_of
from experiments.text.char_tables import console
from experiments.text.char_text import Text, windows
from experiments.text.char_training import trained

CALIBRATION_BATCHES = 8


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    add_text(parser)
    parser.add_argument("--units", type=int, help="of the LSTM (default: 512, with --quick 128)")
    parser.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    add_output(parser, "char_lm", "models and figures")
    parser.set_defaults(sparsity=0.9, blocks=[(16, 16)], sweep=False, tune=False)
    options = parser.parse_args(arguments)
    if options.units is None:
        options.units = 128 if options.quick else 512
    return options


def pruned(options, text, seed):
    """The pruned model of one seed, which starts from a dense one: `Trained`."""
    dense, _, (recipe,) = char_lm.recipes(options, seed)
    trained(dense, text, options.output, console)
    return trained(recipe, text, options.output, console)


def errors_of(one, text):
    """Bits per character of a `Trained` in all formats: a dict as of `errors_in_all`."""
    inputs, targets = text.evaluation()
    half = len(inputs) // 2
    halves = dict(
        zip(PARTS, ((inputs[:half], targets[:half]), (inputs[half:], targets[half:])), strict=True)
    )
    recipe = one.recipe
    calibration = windows(text.train, recipe.batch, recipe.window, CALIBRATION_BATCHES, seed=0)
    return errors_in_all(
        one.model(),
        recipe.block_shape,
        calibration,
        lambda model: {part: bits_of(model, *half) for part, half in halves.items()},
    )


def write_results(options, text, models, runs):
    """Writes every figure to `int8.json`."""
    results = {
        "text": text.described,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "calibration_batches": CALIBRATION_BATCHES,
        "models": [
            {
                "recipe": dataclasses.asdict(one.recipe),
                "parameters": one.parameters,
                "sparsity": one.sparsity,
                "bits": bits,
            }
            for one, bits in zip(models, runs, strict=True)
        ],
    }
    path = options.output / "int8.json"
    write_json(path, results)
    console.print(f"Figures: {path}")


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        char_lm.check(options)
        text = Text(options.text)
        options.output.mkdir(parents=True, exist_ok=True)
        models = [pruned(options, text, seed) for seed in range(1, options.seeds + 1)]
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    runs = [errors_of(one, text) for one in models]
    title = f"LSTM-{options.units}, bits per character; seeds: {options.seeds}"
    console.print(cost_table(title, runs, spread))
    write_results(options, text, models, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
