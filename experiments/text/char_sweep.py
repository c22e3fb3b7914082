"""What block shape, sparsity and method cost a character language model: `python
experiments.text.char_lm --sweep`.
"""

import dataclasses
import statistics

from rich.table import Table

from experiments.common.files import whole, write_json
from experiments.common.learning_rates import tune
from experiments.text.char_measure import spread
from experiments.text.char_network import equal_sparsity, small_units, total
from experiments.text.char_recipe import Recipe
from experiments.text.char_training import trained

SHAPES = (1, 1), (4, 4), (8, 8), (16, 16), (32, 32), (1, 16)
SPARSITIES = 0.8, 0.9, 0.95
LASSO = 1e-5
START, DENSE, SMALL = "dense, what the pruned ones start from", "dense", "dense, as many parameters"
WIDE, MAGNITUDE = "wider, pruned to the dense one's parameters", "by magnitude, 1 x 1"
WIDE_GLP = f"{WIDE}, GLP"
COMMON = Recipe(units=256, steps=1250)
PRUNED = "pruned"
DROPOUTS = {DENSE: 0.5, SMALL: 0.0, PRUNED: 0.2, MAGNITUDE: 0.2, WIDE: 0.5}
# Those that --sweep --tune found.
LEARNING_RATES = {
    "lstm": {DENSE: 8e-3, SMALL: 16e-3, PRUNED: 32e-3, MAGNITUDE: 32e-3, WIDE: 16e-3},
    "gru": {DENSE: 8e-3, SMALL: 8e-3, PRUNED: 32e-3, MAGNITUDE: 16e-3, WIDE: 16e-3},
}


def shapes_and_sparsities(cell, quick):
    """What is swept: of a GRU the middle sparsity alone."""
    shapes, sparsities = (((4, 4), (1, 4)), (0.8, 0.9)) if quick else (SHAPES, SPARSITIES)
    return shapes, sparsities if cell == "lstm" else (_middle(sparsities),)


def _middle(sparsities):
    return sparsities[len(sparsities) // 2]


def recipes(cell, seed, characters, quick=False):
    """Every model of one cell and seed: dict of `(row, sparsity)` to `Recipe`, None for the
    sparsity of a model that has its own.

    The pruned ones start from a dense model of half the steps; all others, the wider ones too, have
    as many steps as both together. A group lasso, which goes when pruning ends (GLP) or, in an
    LSTM, stays (GL), is tried at the middle sparsity and with the wider network in fine blocks.
    """
    shapes, sparsities = shapes_and_sparsities(cell, quick)
    common = dataclasses.replace(COMMON, cell=cell, seed=seed)
    if quick:
        common = dataclasses.replace(common, units=24, steps=40, batch=8, window=16)
    twice = dataclasses.replace(common, steps=2 * common.steps)
    of_kind = {
        kind: {"learning_rate": rate, "dropout": DROPOUTS[kind]}
        for kind, rate in LEARNING_RATES[cell].items()
    }
    start = dataclasses.replace(common, **of_kind[DENSE])
    result = {
        (DENSE, None): dataclasses.replace(start, steps=twice.steps, label="twice"),
        (START, None): start,
    }
    # A GRU's reset gates would lose nearly everything if gates were compared with each other; and a
    # quick training cannot tell which kernel matters.
    scope = "gate" if quick or cell == "gru" else "model"
    pruned = dataclasses.replace(common, start=start.name(), scope=scope, **of_kind[PRUNED])
    for sparsity in sparsities:
        small = small_units(characters, common.units, cell, sparsity)
        result[SMALL, sparsity] = dataclasses.replace(twice, units=small, **of_kind[SMALL])
        for shape in shapes:
            one = dataclasses.replace(pruned, sparsity=sparsity, block_shape=shape)
            result[f"{PRUNED}, {shape[0]} x {shape[1]}", sparsity] = one
            if sparsity == _middle(sparsities):
                result[f"GLP, {shape[0]} x {shape[1]}", sparsity] = dataclasses.replace(
                    one, lasso=LASSO, label="GLP"
                )
            if sparsity == _middle(sparsities) and cell == "lstm":
                result[f"GL, {shape[0]} x {shape[1]}", sparsity] = dataclasses.replace(
                    one, lasso=LASSO, lasso_stays=True, label="GL"
                )
        single = dataclasses.replace(
            pruned, sparsity=sparsity, block_shape=(1, 1), **of_kind[MAGNITUDE]
        )
        result[MAGNITUDE, sparsity] = dataclasses.replace(single, criterion="l2", label="magnitude")
    wide = 2 * common.units
    sparsity = equal_sparsity(characters, wide, total(characters, common.units, cell), cell)
    coarse, fine = ((4, 4), (1, 4)) if quick else ((16, 16), (1, 16))
    one = dataclasses.replace(twice, units=wide, sparsity=sparsity, scope=scope, **of_kind[WIDE])
    result[f"{WIDE}, {coarse[0]} x {coarse[1]}", None] = dataclasses.replace(
        one, block_shape=coarse
    )
    result[f"{WIDE_GLP}, {fine[0]} x {fine[1]}", None] = dataclasses.replace(
        one, block_shape=fine, lasso=LASSO, label="GLP"
    )
    return result


def one_of_each_kind(asked):
    """One recipe for each learning rate: the dense one, the small, pruned and by magnitude at the
    middle sparsity, the wider in coarse blocks.
    """
    sparsity = _middle(sorted({sparsity for _, sparsity in asked if sparsity}))
    blocks = next(
        row.removeprefix(WIDE)
        for row, _ in asked
        if row.startswith(f"{WIDE}, ") and not row.startswith(WIDE_GLP)
    )
    places = (
        (DENSE, None),
        (SMALL, sparsity),
        (f"{PRUNED}{blocks}", sparsity),
        (MAGNITUDE, sparsity),
        (f"{WIDE}{blocks}", None),
    )
    return {place[0]: asked[place] for place in places}


def tune_rates(options, text, console):
    """Finds the learning rates, with a seed that the tables do not have."""
    asked = {cell: recipes(cell, 0, len(text.characters), options.quick) for cell in options.cells}
    for of_cell in asked.values():
        trained(of_cell[START, None], text, options.output, console)

    def error(recipe, rate):
        label = f"{recipe.label}-{rate:g}".lstrip("-")
        return trained(
            dataclasses.replace(recipe, learning_rate=rate, label=label),
            text,
            options.output,
            console,
        ).bits

    kinds = {cell: one_of_each_kind(of_cell) for cell, of_cell in asked.items()}
    tune(
        kinds,
        error,
        spread,
        lambda cell: f"{cell.upper()}, bits per character",
        options.output,
        console,
    )


def run(options, text, console):
    """Trains what is missing, seed by seed, and prints, writes and draws what is there."""
    results = {}
    for seed in range(1, options.seeds + 1):
        for cell in options.cells:
            for place, recipe in recipes(cell, seed, len(text.characters), options.quick).items():
                one = trained(recipe, text, options.output, console)
                results.setdefault((cell, *place), []).append(one)
    for cell in options.cells:
        console.print(table(cell, results, options))
    write(results, options)
    draw(results, options)
    console.print(
        "Figures and pictures: "
        f"{', '.join(str(path) for path in sorted(options.output.glob('sweep*')))}"
    )


def table(cell, results, options):
    """Bits per character over rows and sparsities, and how far above the dense model."""
    own = {
        place[1:]: [one.bits for one in runs] for place, runs in results.items() if place[0] == cell
    }
    units = results[cell, DENSE, None][0].recipe.units
    _, sparsities = shapes_and_sparsities(cell, options.quick)
    several = f"{options.seeds} seeds, mean ± standard deviation"
    counted = several if options.seeds > 1 else "1 seed"
    result = Table(title=f"{cell.upper()}-{units}, bits per character; {counted}")
    for heading in ("", *(f"{100 * sparsity:g} %" for sparsity in sparsities)):
        result.add_column(heading, justify="right" if heading else "left")
    dense = statistics.mean(own[DENSE, None])
    result.add_row(DENSE, spread(own[DENSE, None]), *[""] * (len(sparsities) - 1))
    for row in (row for row, sparsity in own if sparsity is None and row != DENSE):
        result.add_row(row, spread(own[row, None], dense), *[""] * (len(sparsities) - 1))
    result.add_section()
    for row in dict.fromkeys(row for row, sparsity in own if sparsity is not None):
        result.add_row(
            row, *(spread(own.get((row, sparsity), []), dense) for sparsity in sparsities)
        )
    return result


def write(results, options):
    """Writes every figure to `sweep.json`."""
    figures = ("bits", "parameters", "sparsity", "seconds")
    runs = [
        {
            "cell": cell,
            "row": row,
            "recipe": dataclasses.asdict(one.recipe),
            **{name: getattr(one, name) for name in figures},
        }
        for (cell, row, _), models in results.items()
        for one in models
    ]
    write_json(options.output / "sweep.json", runs)


def draw(results, options):
    """Draws bits over sparsity, a line for each block shape, beside the dense model and those of as
    many parameters.

    A cell of one sparsity is drawn only if there are no others.
    """
    from matplotlib.figure import Figure

    swept = {cell: shapes_and_sparsities(cell, options.quick) for cell in options.cells}
    swept = {cell: one for cell, one in swept.items() if len(one[1]) > 1} or swept
    figure = Figure(figsize=(5 * len(swept) + 1.5, 4), layout="constrained")
    for axes, (cell, (shapes, sparsities)) in zip(
        figure.subplots(1, len(swept), squeeze=False)[0], swept.items()
    ):

        def bits(row, sparsity):
            return [one.bits for one in results[cell, row, sparsity]]

        ticks = range(len(sparsities))
        rows = {
            f"{shape[0]} x {shape[1]}": f"{PRUNED}, {shape[0]} x {shape[1]}" for shape in shapes
        }
        for number, (label, row) in enumerate({**rows, SMALL: SMALL}.items()):
            values = [bits(row, sparsity) for sparsity in sparsities]
            errors = [statistics.stdev(one) if len(one) > 1 else 0 for one in values]
            style = (
                {"color": "black", "linestyle": ":"} if row == SMALL else {"color": f"C{number}"}
            )
            axes.errorbar(
                ticks,
                [statistics.mean(one) for one in values],
                errors,
                label=label,
                marker="o",
                markersize=3,
                capsize=2,
                **style,
            )
        axes.axhline(statistics.mean(bits(DENSE, None)), color="black", label=DENSE)
        axes.set_xticks(ticks, [f"{100 * sparsity:g} %" for sparsity in sparsities])
        axes.set(
            title=f"{cell.upper()}-{results[cell, DENSE, None][0].recipe.units}",
            xlabel="weights pruned",
            ylabel="bits per character",
        )
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    with whole(options.output / "sweep.png") as draft:
        figure.savefig(draft, dpi=130)
