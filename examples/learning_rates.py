"""Which learning rate serves each kind of network best."""

from files import write_json
from rich.table import Table


def tune(recipes, error, shown, caption, folder, console):
    """Finds a rate for every network, prints the errors of all that were tried and writes them to `rates.json`.

    Args:
        recipes: dict of cells to dicts of titles to recipes; it begins with the `learning_rate` of each.
        error: function of a recipe and of a rate, the error of the network that is trained so.
        shown: function of a list of one error, what the table shows.
        caption: of the tables, behind the cell.
        folder: `pathlib.Path` for the file.
        console: `rich.console.Console`.
    """
    found = []
    for cell, of_cell in recipes.items():
        tried = {title: climb(lambda rate: error(recipe, rate), recipe.learning_rate) for title, recipe in of_cell.items()}
        rates = sorted(set().union(*tried.values()))
        result = Table(title=f"{cell.upper()}, {caption}, by learning rate; 1 seed")
        for heading in ("", *(f"{rate:g}" for rate in rates)):
            result.add_column(heading, justify="right" if heading else "left")
        for title, errors in tried.items():
            result.add_row(title, *(shown([errors[rate]]) if rate in errors else "" for rate in rates))
            found.append({"cell": cell, "row": title, "rates": {f"{rate:g}": value for rate, value in errors.items()}})
        console.print(result)
    path = folder / "rates.json"
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
