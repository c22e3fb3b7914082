"""What the rivals are worth: validation and test, float32 and int8, weights, bytes, time."""

import statistics

import keras
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.text.char_measure import bytes_of, spread
from experiments.text.char_network import bits_of, recurrent
from experiments.text.char_training import record

COLUMNS = (
    "",
    "units",
    "steps",
    "rate",
    "dropout",
    "validation",
    "test",
    "test, int8",
    "parameters",
    "bytes",
    "minutes",
)


def measured(found, text, folder):
    """The figures of one kind: a dict.

    Args:
        found: `(tried, recipes)`, as `Search.run` has it.
        text: `Text`.
        folder: where the models are.
    """
    tried, recipes = found
    return {"tried": tried, "seeds": [_measured(recipe, text, folder) for recipe in recipes]}


def _measured(recipe, text, folder):
    known = record(recipe, text, folder)
    model = keras.models.load_model(folder / f"{recipe.name()}.keras")
    block = tuple(min(size, recipe.units) for size in recipe.block_shape)
    stored, rounded = model, {}
    if recipe.sparsity:  # `substitute` leaves alone what has no zero block
        stored = ksr.substitute(model, block)
        few_bits = ksr.substitute(model, block, weights="int8", activations="int8")
        rounded = {"test_int8": bits_of(few_bits, *text.final())}
    return {
        "units": recurrent(model).units,
        "steps": recipe.steps,
        "learning_rate": recipe.learning_rate,
        "dropout": recipe.dropout,
        "sparsity": known["sparsity"],
        "validation": known["bits"],
        "test": bits_of(model, *text.final()),
        **rounded,
        "parameters": known["parameters"],
        "bytes": bytes_of(stored),
        "seconds": known["seconds"],
    }


def table(rows):
    """A `rich` table of the figures of all kinds; sizes are those of the first seed."""
    made = Table(*COLUMNS)
    for name, row in rows.items():
        first, seeds = row["seeds"][0], row["seeds"]
        made.add_row(
            name,
            *(f"{first[key]:g}" for key in ("units", "steps", "learning_rate", "dropout")),
            *(
                spread([one[key] for one in seeds if key in one])
                for key in ("validation", "test", "test_int8")
            ),
            f"{first['parameters']:,}",
            f"{first['bytes']:,}",
            f"{statistics.mean(one['seconds'] for one in seeds) / 60:.1f}",
        )
    return made
