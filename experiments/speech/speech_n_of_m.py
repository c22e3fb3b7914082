"""What 2:4, the pattern of sparse tensor cores, costs a speech recogniser beside single weights and
blocks: half of the weights pruned.

    python -m experiments.speech.speech_n_of_m --quick
        a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_n_of_m --seeds 3
        the GRU, both kernels of all layers

All start from the same dense network and train for a quarter of its steps more, with its learning
rate. The recipe prunes
by `Fisher` over 2 to 30 % of them; "as published" is the workflow of Mishra et al. 2021 (arXiv
2104.08378), in short: the least weights of each group of four go at once, and the training of the
dense model is repeated. Finished models are kept in --output and not trained again."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from rich.table import Table

from experiments.common.number_formats import PARTS
from experiments.speech.speech_held_out import parser, run, sized
from experiments.speech.speech_network import SCOPES
from experiments.speech.speech_recipes import DENSE
from experiments.speech.speech_recipes import recipes as of_all
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import spread

CONTROL, PUBLISHED = "dense, trained on", "2:4, as published"
SINGLE = "single weights"
ROWS = {
    CONTROL: {"sparsity": 0.0},
    SINGLE: {"block_shape": (1, 1)},
    "2:4": {"pattern": (2, 4)},
    PUBLISHED: {"pattern": (2, 4), "ramp": (), "criterion": "l2"},
    "1 x 16": {"block_shape": (1, 16)},
}


def recipes(options, seed, letters):
    """The `Recipe`s of a seed: the dense one, and those of `ROWS` by their names."""
    dense = of_all(options, "gru", seed, letters)[DENSE]
    pruned = dataclasses.replace(
        dense,
        steps=max(20, dense.steps // 4),
        start=dense.name(),
        sparsity=0.5,
        scope=SCOPES["gru"],
    )
    return dense, {
        row: dataclasses.replace(pruned, **changes, label=f"half{number}")
        for number, (row, changes) in enumerate(ROWS.items())
    }


def table(rows):
    """A `rich` table of the figures of all seeds: dict of names to lists of dicts.

    Costs are found seed by seed, against the dense model that is trained on.
    """
    several = len(rows[DENSE])
    made = Table(title=f"Character error rates, half of the weights pruned; seeds: {several}")
    for heading in ("", "sparsity", *PARTS, "test, against dense, trained on"):
        made.add_column(heading)
    for name, runs in rows.items():
        costs = [
            one["test"] / max(other["test"], 1e-9) - 1 for one, other in zip(runs, rows[CONTROL])
        ]
        made.add_row(
            name,
            f"{100 * runs[0]['sparsity']:.1f} %",
            *(spread([one[part] for one in runs]) for part in PARTS),
            "" if name in (DENSE, CONTROL) else spread(costs),
        )
    return made


def measured(options, held_out):
    """The figures of every row, a list of dicts with one dict for each seed."""
    rows = {}
    for seed in range(1, options.seeds + 1):
        dense, found = recipes(options, seed, len(held_out.speech.letters))
        for row, recipe in {DENSE: dense, **found}.items():
            rows.setdefault(row, []).append(held_out.figures(recipe))
    return rows


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = sized(parser(__doc__, "speech_n_of_m").parse_args(arguments))
    return run(options, console, measured, lambda rows: [table(rows)], "n_of_m.json")


if __name__ == "__main__":
    sys.exit(main())
