"""A pruned recogniser and a small dense one of as many weights, both as well trained as the
utterances that are set aside can tell.

    python -m experiments.speech.speech_rivals --quick
        a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_rivals --seeds 3
        both
    python -m experiments.speech.speech_rivals --seeds 3 --kinds small
        one of them: "small" or "pruned"
    python -m experiments.speech.speech_rivals --trials
        the search alone

A GRU as in `speech_ctc`. Of each, the peak of the learning rate and the dropout are searched with
seed 0 on validation, one after the other, up and down from where it begins, until nothing gets
better; then, of the small one, the number of steps. Both begin with three times --steps; the small
one may have six times as many, for a step of it takes half the time or less. Then come seeds 1, 2,
..., and only these are asked what they make of the test, once. Finished models are kept in --output
and not trained again, so a run that was stopped goes on where it was; without these, --known takes
over the settings that an earlier run on the same utterances has tried."""

import dataclasses
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.table import Table

from experiments.common.files import known_rows
from experiments.common.number_formats import PARTS
from experiments.common.search import coordinates
from experiments.speech.speech_held_out import parser, run, sized
from experiments.speech.speech_recipes import SMALL
from experiments.speech.speech_recipes import recipes as of_all
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import spread

RATES = (7.5e-4, 1.5e-3, 3e-3, 6e-3, 12e-3)
DROPOUTS = (0.0, 0.1, 0.2, 0.35)
FACTORS = (1, 3, 6)  # of --steps
KINDS = ("small", "pruned")


def start_of(options, kind, letters):
    """The `Recipe` that the search for a kind begins with, and its ladders, as `coordinates` takes
    them.
    """
    asked = of_all(options, "gru", 0, letters)
    *_, lasso = asked.values()
    recipe = {"small": asked[SMALL], "pruned": lasso}[kind]
    ladders = {"learning_rate": RATES, "dropout": DROPOUTS}
    if kind == "small":
        # Last, or every rate and dropout would be tried in the longest of the trainings.
        ladders["steps"] = [factor * options.steps for factor in FACTORS]
    return dataclasses.replace(recipe, steps=3 * options.steps), ladders


def labelled(recipe, **changes):
    """`recipe` with changes, and a label that tells all settings apart."""
    changed = dataclasses.replace(recipe, **changes)
    label = f"rate{changed.learning_rate:g}-dropout{changed.dropout:g}"
    return dataclasses.replace(changed, label=label)


def searched(start, ladders, held_out, known=()):
    """`(recipe, tried)`: the best recipe of its seed, and all that were tried with their error
    rates on validation and the seconds of their training, a list of dicts. Those that are `known`,
    such a list, are not trained.
    """
    names, tried = ("steps", "learning_rate", "dropout"), []

    def error(settings):
        for one in (*tried, *known):
            if all(one[name] == settings[name] for name in names):
                break
        else:
            figures = held_out.figures(labelled(start, **settings))
            kept = {name: figures[name] for name in ("validation", "seconds")}
            one = {**settings, **kept}
        if one not in tried:
            tried.append(one)
        return one["validation"]

    best = coordinates(error, {name: getattr(start, name) for name in names}, ladders)
    return labelled(start, **best), tried


def parse(arguments=None):
    """The command line."""
    made = parser(__doc__, "speech_rivals")
    made.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="some only (default: both)"
    )
    made.add_argument(
        "--known", type=pathlib.Path, metavar="FILE", help="figures of an earlier run (rivals.json)"
    )
    made.add_argument(
        "--trials", action="store_true", help="the search only, for --known: no seed, no test"
    )
    return sized(made.parse_args(arguments))


def measured(options, held_out):
    """By the names of kinds: what was tried, and the figures of each seed."""
    known, rows = known_rows(options.known, "speech", held_out.described), {}
    for kind in options.kinds:
        start, ladders = start_of(options, kind, len(held_out.speech.letters))
        best, tried = searched(start, ladders, held_out, known.get(kind, {}).get("tried", ()))
        seeds = () if options.trials else range(1, options.seeds + 1)
        runs = [held_out.figures(dataclasses.replace(best, seed=seed)) for seed in seeds]
        rows[kind] = {"tried": tried, "runs": runs}
    return rows


def tables(rows):
    """A `rich` table of what was tried, and if there are seeds one of what the best settings come
    to.
    """
    tried = Table(title="Tried, seed 0")
    for heading in ("", "steps", "rate", "dropout", "validation"):
        tried.add_column(heading, justify="right" if heading else "left")
    found = Table(title="With the best settings")
    for heading in ("", "steps", "rate", "dropout", "weights", *PARTS, "minutes"):
        found.add_column(heading, justify="right" if heading else "left")
    for kind, row in rows.items():
        for one in row["tried"]:
            tried.add_row(kind, *_settings(one), spread([one["validation"]]))
        runs = row["runs"]
        if not runs:
            continue
        found.add_row(
            kind,
            *_settings(runs[0]["recipe"]),
            f"{runs[0]['parameters']:,}",
            *(spread([one[part] for one in runs]) for part in PARTS),
            f"{sum(one['seconds'] for one in runs) / len(runs) / 60:.1f}",
        )
    return (tried, found) if found.row_count else (tried,)


def _settings(of):
    return f"{of['steps']:,}", f"{of['learning_rate']:g}", f"{of['dropout']:g}"


def main(arguments=None):
    """Searches, trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    name = "rivals_trials.json" if options.trials else "rivals.json"
    return run(options, console, measured, tables, name)


if __name__ == "__main__":
    sys.exit(main())
