"""Validation and test side by side, for what is chosen by one and reported of the other: the
utterances that `speech_ctc` sets aside for tuning, and those that it tests.
"""

import dataclasses
import pathlib

import keras
import tensorflow as tf
from rich.markup import escape

from experiments.common.arguments import add_output, quick_parser
from experiments.common.files import figures_of, keep_figures, write_json
from experiments.common.number_formats import PARTS
from experiments.speech import speech_ctc
from experiments.speech.speech_data import Speech
from experiments.speech.speech_training import (
    character_error_rate,
    keep_memory,
    trained,
    transcribe,
)

BLOCK = (16, 16)


def parser(doc, output):
    """A parser with `--quick`, `--data`, `--steps`, `--seeds` and `--output`.

    Args:
        doc: the docstring of the program.
        output: the folder that is the default.
    """
    made = quick_parser(doc, "a small model, few steps, few sentences")
    speech_ctc.add_data(made)
    made.add_argument(
        "--steps", type=int, help="batches of the training (default: 4800, with --quick 40)"
    )
    made.add_argument(
        "--seeds", type=int, default=1, help="how many seeds (default: 1); 3 make the table"
    )
    add_output(made, output, "features, models and figures")
    made.set_defaults(
        cells=["gru"], sparsity=0.9, larger=1.5, blocks=[BLOCK], tune=False, rows=["equal"]
    )
    return made


def sized(options):
    """The options, with the units and the steps of `speech_ctc`."""
    options.units = 64 if options.quick else 256
    if options.steps is None:
        options.steps = 40 if options.quick else 4800
    return options


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Speech that is tested on validation and test one after the other.

    Attributes:
        speech: `Speech`.
        aside: how many of the utterances that are tested are validation.
        folder: `pathlib.Path` for models and figures.
        console: `rich.console.Console`.
    """

    speech: Speech
    aside: int
    folder: pathlib.Path
    console: object

    @property
    def described(self):
        """What a file of results says of it."""
        tested = len(self.speech.test)
        return {
            "source": self.speech.source,
            "utterances": [len(self.speech.training), self.aside, tested - self.aside],
            "letters": "".join(self.speech.letters),
            "digest": self.speech.digest,
        }

    def errors(self, model):
        """Character error rates: dict of `PARTS` to numbers."""
        heard = transcribe(model, self.speech)
        parts = (slice(self.aside), slice(self.aside, None))
        rates = (character_error_rate(heard[part], self.speech.texts[part]) for part in parts)
        return dict(zip(PARTS, rates, strict=True))

    def trained(self, recipe):
        """A `Trained`, from an earlier run or by training."""
        return trained(recipe, self.speech, self.folder, self.console)

    def figures(self, recipe):
        """Errors of both parts, weights, sparsity and seconds of the model of a recipe: a dict."""
        one = self.trained(recipe)
        path = self.folder / f"{recipe.name()}-errors.json"
        asked = {**dataclasses.asdict(recipe), "speech": self.speech.digest}
        errors = figures_of(path, asked)
        if errors is None:
            errors = self.errors(one.model())
            keep_figures(path, asked, errors)
        return {
            "recipe": dataclasses.asdict(recipe),
            **errors,
            "parameters": one.parameters,
            "sparsity": one.sparsity,
            "seconds": one.seconds,
        }


def load(options, console):
    """The `HeldOut` of these options.

    Raises:
        ValueError: an option is out of its range.
    """
    speech_ctc.check(options)
    training, aside = speech_ctc.utterances(options, tuning=True)
    _, test = speech_ctc.utterances(options, tuning=False)
    speech = speech_ctc.prepared(options, training, [*aside, *test])
    return HeldOut(speech, len(aside), options.output, console)


def versions():
    """Of what has trained, for a file of results."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def run(options, console, measured, tables, name):
    """Trains, measures, prints and writes the rows of a program; returns its exit status.

    Args:
        options: of its command line.
        console: `rich.console.Console`.
        measured: function of the options and of a `HeldOut`: the rows, as JSON takes them.
        tables: function of the rows: what is printed, one or several.
        name: of the file of results in `options.output`.
    """
    tf.get_logger().setLevel("ERROR")  # every model is traced anew, and is meant to
    keep_memory()
    try:
        held_out = load(options, console)
        rows = measured(options, held_out)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(*tables(rows), sep="\n")
    path = options.output / name
    write_json(path, {"speech": held_out.described, "versions": versions(), "rows": rows})
    console.print(f"Figures: {path}")
    return 0
