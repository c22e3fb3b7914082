"""What `navigation_conditions` found: the strengths that were tried, and the errors."""

import statistics

from rich.table import Table

from experiments.navigation.navigation_measuring import vertex

TITLES = {"torus": "torus", "permuted": "torus, R shuffled", "l1": "L1", "none": "none"}


def title(result):
    """The condition of a result in words."""
    return (
        f"{result['units']} units, {result['steps']} steps, {result['after']} after the last mask"
    )


def strength_table(results):
    """Errors of seed 0 on the walks for validation, by strength."""
    tried = [result for result in results if result.get("tried")]
    strengths = sorted({s for one in tried for errors in one["tried"].values() for s in errors})
    table = Table(title="Strengths, by the error in centimetres on walks for validation; seed 0")
    table.add_column("")
    table.add_column("")
    for strength in strengths:
        table.add_column(f"{strength:g}", justify="right")
    table.add_column("least of a parabola", justify="right")
    for result in tried:
        for row, errors in result["tried"].items():
            best, least = min(errors, key=errors.get), vertex(errors)
            cells = [
                f"{errors[s]:.1f}{'*' * (s == best)}" if s in errors else "" for s in strengths
            ]
            table.add_row(title(result), TITLES[row], *cells, f"{least:.2g}" if least else "")
        table.add_section()
    return table


def error_table(results):
    """Errors of the other seeds on the walks of the test, and on how many of them the torus has the
    least of two.
    """
    table = Table(title="Decoding error in centimetres on walks of the test, other seeds")
    others = [row for row in TITLES if row != "torus"]
    for heading in ("", "dense", *TITLES.values()):
        table.add_column(heading, justify="right" if heading else "left")
    for row in others:
        table.add_column(f"torus below {TITLES[row]}", justify="right")
    for result in results:
        errors = {}
        for run in result.get("runs", []):
            errors.setdefault(run["row"], {})[run["seed"]] = run["test"]
        if errors:
            cells = [spread(errors.get(row, {})) for row in ("dense", *TITLES)]
            wins = [below(errors.get("torus", {}), errors.get(row, {})) for row in others]
            table.add_row(title(result), *cells, *wins)
    return table


def spread(errors):
    """Mean of the values of a dict and, of several, their standard deviation."""
    values = list(errors.values())
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}" if values else ""


def below(errors, others):
    """On how many seeds `errors` are below `others`, both dicts by seed."""
    both = errors.keys() & others.keys()
    return f"{sum(errors[seed] < others[seed] for seed in both)} of {len(both)}" if both else ""
