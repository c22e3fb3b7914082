"""Which learning rate serves each kind of network best: `python examples/speech_ctc.py --tune`."""

import dataclasses

from files import write_json
from rich.table import Table
from speech_training import CELLS, spread, trained


def tune(options, speech, recipes, console):
    """Finds a rate for every network, prints the error rates of all that were tried and writes them to `rates.json`.

    Args:
        options: of the command line.
        speech: `Speech`, whose test is not that of the tables.
        recipes: dict of cells to dicts of titles to `Recipe`s.
        console: `rich.console.Console`.
    """
    found = []
    for cell, of_cell in recipes.items():
        tried = {title: _tried(options, speech, recipe, console) for title, recipe in of_cell.items()}
        rates = sorted(set().union(*tried.values()))
        result = Table(title=f"{CELLS[cell].__name__}, character error rate on utterances set aside, by learning rate; 1 seed")
        for heading in ("", *(f"{rate:g}" for rate in rates)):
            result.add_column(heading, justify="right" if heading else "left")
        for title, cers in tried.items():
            result.add_row(title, *(spread([cers[rate]]) if rate in cers else "" for rate in rates))
            found.append({"cell": cell, "row": title, "rates": {f"{rate:g}": cer for rate, cer in cers.items()}})
        console.print(result)
    path = options.output / "rates.json"
    write_json(path, found)
    console.print(f"Figures: {path}")


def climb(error, start):
    """Halves a rate while that makes the error less; if it never does, doubles it while that does.

    Args:
        error: function of a rate, with one minimum.
        start: the first rate.

    Returns:
        dict of all rates that were tried to their errors.
    """
    errors = {start: error(start)}
    for factor in (0.5, 2.0):
        while (rate := factor * min(errors, key=errors.get)) not in errors:
            errors[rate] = error(rate)
    return dict(sorted(errors.items()))


def _tried(options, speech, recipe, console):
    def error(rate):
        return trained(dataclasses.replace(recipe, learning_rate=rate), speech, _folder(options, rate), console).cer

    return climb(error, recipe.learning_rate)


def _folder(options, rate):
    folder = options.output / f"rate-{rate:g}"
    folder.mkdir(exist_ok=True)
    return folder
