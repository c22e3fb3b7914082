"""Which learning rate serves each kind of network best: `python examples/speech_ctc.py --tune`."""

import dataclasses

from files import write_json
from rich.table import Table
from speech_training import CELLS, spread, trained

RATES = 7.5e-4, 1.5e-3, 3e-3, 6e-3


def tune(options, speech, recipes, console):
    """Trains every network at several rates, prints the error rates and writes them to `rates.json`.

    Args:
        options: of the command line.
        speech: `Speech`, whose test is not that of the tables.
        recipes: dict of cells to dicts of titles to `Recipe`s.
        console: `rich.console.Console`.
    """
    found = {}
    for cell, of_cell in recipes.items():
        result = Table(title=f"{CELLS[cell].__name__}, character error rate on utterances set aside, by learning rate; 1 seed")
        for heading in ("", *(f"{rate:g}" for rate in RATES)):
            result.add_column(heading, justify="right" if heading else "left")
        for title, recipe in of_cell.items():
            found[cell, title] = {rate: trained(dataclasses.replace(recipe, learning_rate=rate), speech, _folder(options, rate), console).cer for rate in RATES}
            result.add_row(title, *(spread([cer]) for cer in found[cell, title].values()))
        console.print(result)
    path = options.output / "rates.json"
    write_json(path, [{"cell": cell, "row": title, "rates": {f"{rate:g}": cer for rate, cer in cers.items()}} for (cell, title), cers in found.items()])
    console.print(f"Figures: {path}")


def _folder(options, rate):
    folder = options.output / f"rate-{rate:g}"
    folder.mkdir(exist_ok=True)
    return folder
