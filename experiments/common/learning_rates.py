"""Which learning rate serves each kind of network best."""

from rich.table import Table

from experiments.common.files import write_json
from experiments.common.search import search


def tune(recipes, error, shown, title, folder, console):
    """Finds a rate for every network, prints the errors of all that were tried and writes them to
    `rates.json`.

    Args:
        recipes: dict of cells to dicts of rows to recipes; the search begins with the
            `learning_rate` of each.
        error: function of a recipe and of a rate, the error of the network that is trained so.
        shown: function of a list of one error, what the table shows.
        title: function of a cell, the title of its table.
        folder: `pathlib.Path` for the file.
        console: `rich.console.Console`.
    """
    found = []
    for cell, of_cell in recipes.items():
        tried = {
            row: climb(lambda rate: error(recipe, rate), recipe.learning_rate)
            for row, recipe in of_cell.items()
        }
        rates = sorted(set().union(*tried.values()))
        result = Table(title=f"{title(cell)}, by learning rate; 1 seed")
        for heading in ("", *(f"{rate:g}" for rate in rates)):
            result.add_column(heading, justify="right" if heading else "left")
        for row, errors in tried.items():
            result.add_row(
                row, *(shown([errors[rate]]) if rate in errors else "" for rate in rates)
            )
            found.append(
                {
                    "cell": cell,
                    "row": row,
                    "rates": {f"{rate:g}": value for rate, value in errors.items()},
                }
            )
        console.print(result)
    path = folder / "rates.json"
    write_json(path, found)
    console.print(f"Figures: {path}")


def climb(error, start):
    """Halves a rate while that makes the error less; if it never does, doubles it while that does.

    Args:
        error: function of a rate, with one minimum; NaN where the training diverges.
        start: the first rate.

    Returns:
        dict of all rates that were tried to their errors.
    """
    return search(error, start, [lambda rate: 0.5 * rate, lambda rate: 2.0 * rate])
