"""What closes the gap between a pruned recogniser and a dense one after as many steps.

    python -m experiments.speech.speech_steps --quick
        a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_steps --trials
        every row once, with seed 0, on the utterances that are set aside
    python -m experiments.speech.speech_steps --seeds 3
        the same with seeds 1 to 3, also on the test
    python -m experiments.speech.speech_steps --seeds 3 --rows dense evolution
        some rows

A GRU as in `speech_ctc`, pruned to 90 % in 16 x 16 while it trains: with a longer dense start, a
slower ramp, taught by the dense network, or sparse from the first step by `Evolution`. Finished
models are kept in --output and not trained again, so a run that was stopped goes on where it
was."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.table import Table

from experiments.common.number_formats import PARTS
from experiments.speech.speech_held_out import parser, run, sized
from experiments.speech.speech_recipes import DENSE, LASSO, SMALL
from experiments.speech.speech_recipes import recipes as of_all
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import spread

TAUGHT = 0.5  # of the loss
CHANGES = {
    "dense start, 30 % of the steps": {"ramp": (0.3, 0.6), "label": "late"},
    "slower ramp, 2 to 70 %": {"ramp": (0.02, 0.7), "label": "slow"},
    "taught by the dense one": {"distillation": TAUGHT, "label": "taught"},
    "evolution": {"evolution": True, "lasso": 0.0, "label": "evolution"},
    "small, dropout 0.1": {"dropout": 0.1, "label": "dropout"},
}
ROWS = (DENSE, SMALL, LASSO, *CHANGES)


def recipes(options, seed, letters):
    """The `Recipe`s of a seed by the names of `ROWS`."""
    asked = of_all(options, "gru", seed, letters)
    found = {DENSE: asked[DENSE], SMALL: asked[SMALL]}
    *_, found[LASSO] = asked.values()
    for row, changes in CHANGES.items():
        if "distillation" in changes:
            changes = {**changes, "teacher": found[DENSE].name()}
        start = found[SMALL if row.startswith("small") else LASSO]
        found[row] = dataclasses.replace(start, **changes)
    return found


def parse(arguments=None):
    """The command line."""
    made = parser(__doc__, "speech_steps")
    made.add_argument(
        "--rows",
        dest="asked",
        nargs="+",
        metavar="ROW",
        default=ROWS,
        help=f"some of: {'; '.join(ROWS)} (default: all)",
    )
    made.add_argument(
        "--trials", action="store_true", help="seed 0 and validation only: what rows are chosen by"
    )
    options = sized(made.parse_args(arguments))
    for row in options.asked:
        if row not in ROWS:
            made.error(f"`--rows` must be some of: {'; '.join(ROWS)}. Received: {row}")
    return options


def measured(options, held_out):
    """The figures of every row, a list of dicts with one dict for each seed."""
    seeds = [0] if options.trials else range(1, options.seeds + 1)
    rows = {}
    for seed in seeds:
        asked = recipes(options, seed, len(held_out.speech.letters))
        for row in options.asked:
            if asked[row].teacher:
                held_out.trained(asked[DENSE])
            rows.setdefault(row, []).append(held_out.figures(asked[row]))
    if options.trials:  # the test is not for choosing
        for of_row in rows.values():
            for figures in of_row:
                del figures["test"]
    return rows


def table(rows):
    """A `rich` table of the figures of all rows."""
    several = len(next(iter(rows.values())))
    made = Table(title=f"Character error rates after as many steps; seeds: {several}")
    made.add_column("")
    for heading in (*PARTS, "weights", "minutes"):
        made.add_column(heading, justify="right")
    for row, runs in rows.items():
        errors = [
            spread([one[part] for one in runs]) if part in runs[0] else "not looked at"
            for part in PARTS
        ]
        minutes = sum(one["seconds"] for one in runs) / len(runs) / 60
        made.add_row(row, *errors, f"{runs[0]['parameters']:,}", f"{minutes:.1f}")
    return made


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    name = "steps_trials.json" if options.trials else "steps.json"
    return run(options, console, measured, lambda rows: [table(rows)], name)


if __name__ == "__main__":
    sys.exit(main())
