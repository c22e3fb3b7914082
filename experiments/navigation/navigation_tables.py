"""What the networks came to: the table, and the file of all figures."""

import dataclasses
import statistics

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from experiments.common.console import console_of
from experiments.common.files import write_json
from experiments.navigation.navigation_world import PlaceCells, centimetres, test_walks

console = console_of()


def landmarks(world):
    """Errors to compare with, in centimetres: of the place cells' own activity, of staying at the
    start and of saying the centre.
    """
    test, cells = test_walks(world), PlaceCells(world, 1)
    return {
        "cells": centimetres(cells.decode(cells(test.position)), test.position),
        "start": centimetres(test.start[:, None], test.position),
        "centre": centimetres(np.zeros(2), test.position),
    }


def table(runs):
    """Mean and spread of the decoding errors: a row for each network, a column for each way to
    prune it.
    """
    seeds = max(map(len, runs.values()))
    counted = f"{seeds} seeds, mean ± standard deviation" if seeds > 1 else "1 seed"
    result = Table(title=f"Decoding error, centimetres; {counted}")
    rows, columns = (
        list(dict.fromkeys(place[axis] for place in runs if place[1] != "error")) for axis in (0, 1)
    )
    result.add_column("")
    for column in columns:
        result.add_column(column, justify="right")
    for row, column in runs:
        if column == "error":
            result.add_row(f"{row}, not pruned", spread(runs[row, column], seeds))
    result.add_section()
    for row in rows:
        result.add_row(row, *(spread(runs.get((row, column), []), seeds) for column in columns))
    return result


def spread(runs, seeds):
    """Mean error and, of several, the standard deviation; and how many there are, if they are fewer
    than `seeds`.
    """
    errors = [one.error for one in runs]
    if not errors:
        return ""
    deviation = f" ± {statistics.stdev(errors):.1f}" if len(errors) > 1 else ""
    fewer = f" ({len(errors)} seed{'s' * (len(errors) > 1)})" if len(errors) < seeds else ""
    return f"{statistics.mean(errors):.1f}{deviation}{fewer}"


def results_path(options):
    """Where the figures are written."""
    part = "_blocks" * options.blocks + "_strengths" * options.tune
    return options.output / f"navigation{part}.json"


def write_results(options, world, runs):
    """Writes every figure of the table, so that it can be checked and drawn again; whole or not at
    all.
    """
    results = {
        "world": dataclasses.asdict(world),
        "landmarks": landmarks(world),
        "recipe": dataclasses.asdict(runs["dense", "error"][0].recipe),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "runs": [_figures(place, one) for place, values in runs.items() for one in values],
    }
    write_json(results_path(options), results)


def _figures(place, one):
    """One run as JSON takes it: what differs from the dense recipe of its seed stands in its
    name.
    """
    row, column = place
    keys = {
        "row": row,
        "column": column,
        "seed": one.recipe.seed,
        "strength": one.recipe.strength if one.recipe.regularizer != "none" else one.recipe.lasso,
    }
    return {
        **keys,
        "error": one.error,
        "last": one.last,
        "live": one.live,
        "seconds": round(one.seconds, 1),
    }
