"""Which recognisers are trained: the rows of the tables."""

import dataclasses

from experiments.speech.speech_network import SCOPES, Recipe, weights

# Of the group lasso. The GRU's is the best of 3e-5 to 1e-3, the SimpleRNN the better the less it
# has (docs/speech.md).
STRENGTHS = {"rnn": 3e-5, "gru": 3e-4}
DENSE, SMALL = "dense", "dense, as many weights as pruned"
PRUNED, LASSO, WIDE = "pruned", "lasso while pruned", "wide"
ROWS = ("equal", "longer", "wider", "levers")
COMPARED = {"gate": "gate by gate", "model": "gates compared"}
LONGER = {2: "twice the steps", 3: "three times the steps"}
# Those that --tune found: a network with few weights wants a higher rate than one with many. That
# of the wide one lies between them.
LEARNING_RATES = {
    "rnn": {DENSE: 1e-3, SMALL: 4e-3, PRUNED: 2e-3, WIDE: 1.5e-3},
    "gru": {DENSE: 1.5e-3, SMALL: 3e-3, PRUNED: 3e-3, WIDE: 2e-3},
}


def recipes(options, cell, seed, letters):
    """Titles and `Recipe`s of the models of one cell and one seed that `--rows` asks for, the dense
    one before them.

    All start from random weights. Pruned ones of more steps, the wide one too, have the last of the
    block shapes and a group lasso.
    """
    rates = LEARNING_RATES[cell]
    dense = Recipe(
        cell=cell, units=options.units, steps=options.steps, learning_rate=rates[DENSE], seed=seed
    )
    if options.quick:
        dense = dataclasses.replace(dense, layers=1, batch=8)
    # So short a training as a quick one cannot tell which kernel matters more: every gate gets the
    # same sparsity.
    scope = "gate" if options.quick else SCOPES[cell]
    pruned = dataclasses.replace(
        dense, sparsity=options.sparsity, scope=scope, learning_rate=rates[PRUNED]
    )
    small = dataclasses.replace(
        dense,
        units=nearest_units(dense, letters, weights(pruned, letters)),
        learning_rate=rates[SMALL],
    )
    in_blocks = {}
    for block in options.blocks:
        shape, plain = f"{block[0]} x {block[1]}", dataclasses.replace(pruned, block_shape=block)
        in_blocks |= {
            f"{PRUNED}, {shape}": plain,
            f"{LASSO}, {shape}": dataclasses.replace(plain, lasso=STRENGTHS[cell]),
        }
    *_, (last, lasso) = in_blocks.items()
    wide = dataclasses.replace(lasso, units=larger_units(options), learning_rate=rates[WIDE])
    rows = {
        "equal": {SMALL: small, **in_blocks},
        # A step of a network with few weights takes a third of a dense one's time, or less.
        "longer": dict(
            [_longer(DENSE, dense, 2), _longer(SMALL, small, 3), _longer(last, lasso, 3)]
        ),
        "wider": dict([_longer(f"{WIDE}, {last}", wide, 3)]),
        "levers": {last: lasso, f"{last}, by magnitude": dataclasses.replace(lasso, criterion="l2")}
        | {
            f"{last}, {how}": dataclasses.replace(lasso, scope=other)
            for other, how in COMPARED.items()
            if other != lasso.scope
        },
    }
    return {DENSE: dense} | {
        title: one for name in ROWS if name in options.rows for title, one in rows[name].items()
    }


def _longer(title, recipe, factor):
    return f"{title}, {LONGER[factor]}", dataclasses.replace(recipe, steps=factor * recipe.steps)


def one_of_each_kind(asked):
    """The dense ones of these recipes, and the last with a lasso of each number of units."""
    last = {one.units: title for title, one in asked.items() if one.lasso}
    return {
        title: one for title, one in asked.items() if not one.sparsity or title == last[one.units]
    }


def larger_units(options):
    """The units of the wide network."""
    return round(options.larger * options.units)


def nearest_units(recipe, letters, count):
    """The units of the dense network whose weights come nearest to `count`."""
    return min(
        range(1, recipe.units + 1), key=lambda units: abs(weights(recipe, letters, units) - count)
    )
