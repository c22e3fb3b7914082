"""What a character language model costs without the units that do nothing.

    python -m experiments.text.char_units --quick
        a minute, to see it work; its figures mean nothing
    python -m experiments.text.char_units --seeds 3
        LSTM-512 pruned to 90 % in (16, 16), and what is left of it

The pruned model is that of `char_lm`; with its --output it is taken from there. Then, from the same
dense model or from it:

- *exact*: `ksr.remove_dead_units`, nothing else;
- *unread*: the head stops reading those units that no block of the recurrence reads, at once, and
  they are removed; bits before and after training on for half as many steps;
- *head*: the head is pruned in the same blocks as the LSTM, and dead units are removed;
- *narrow*: the dense model loses whole units, by `UnitPruning`, until it has as many parameters;
- *remaining*: a dense model of as many units as *unread* leaves, pruned to as many parameters."""

import dataclasses
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.markup import escape
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.files import keep, record_of, write_json
from experiments.text import char_lm
from experiments.text.char_measure import STEPS, bytes_of, microseconds_per_step, spread
from experiments.text.char_network import (
    bits_per_character,
    build,
    equal_sparsity,
    equal_units,
    parameters,
    recurrent,
)
from experiments.text.char_tables import console
from experiments.text.char_text import Text, windows
from experiments.text.char_training import trained

BLOCK = (16, 16)
ROWS = {
    "pruned": "LSTM-{units}, pruned",
    "exact": "- dead units removed",
    "unread": "- units that no recurrent block reads removed, at once",
    "unread, trained": "- the same, trained on for half as many steps",
    "head": "LSTM-{units}, its head pruned in the same blocks, dead units removed",
    "narrow": "LSTM-{units}, whole units pruned to as many parameters, and removed",
    "remaining": "dense LSTM of as many units as no. 3, pruned to as many parameters",
}


def parse(arguments=None):
    """The command line."""
    parser = quick_parser(__doc__, "a small model and few steps")
    add_text(parser)
    parser.add_argument("--units", type=int, help="of the LSTM (default: 512, with --quick 64)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    add_output(parser, "char_lm", "models and figures")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="some of the table only"
    )
    parser.set_defaults(sparsity=0.9, blocks=[BLOCK], sweep=False, tune=False)
    options = parser.parse_args(arguments)
    if options.units is None:
        options.units = 64 if options.quick else 512
    return options


class Models:
    """The models of one seed.

    Args:
        options: the command line.
        text: `Text`.
        seed: the seed.

    Attributes:
        same: pairs of models that compute the same, before and after the removal of dead units, by
            the names of `ROWS`.
    """

    def __init__(self, options, text, seed):
        self.options, self.text, self.seed = options, text, seed
        dense, _, (self.recipe,) = char_lm.recipes(options, seed)
        self.dense = trained(dense, text, options.output, console)
        self.pruned = trained(self.recipe, text, options.output, console)

    def all(self):
        """Plain Keras models by those names of `ROWS` that are asked for."""
        pruned, cut = self.pruned.model(), _without_unread(self.pruned.model())
        exact, unread = ksr.remove_dead_units(pruned), ksr.remove_dead_units(cut)
        self.same = {"exact": (pruned, exact), "unread": (cut, unread)}
        halved = dataclasses.replace(self.recipe, steps=self.recipe.steps // 2)
        kept = lambda: [ksr.callbacks.KeepMasks()]
        makers = {
            "pruned": lambda: pruned,
            "exact": lambda: exact,
            "unread": lambda: unread,
            "unread, trained": lambda: self._fitted("unread", unread, halved, kept),
            "head": lambda: ksr.remove_dead_units(
                self._fitted("head", self._start(), self.recipe, self._both_pruned)
            ),
            "narrow": self._narrow,
            "remaining": lambda: self._remaining(recurrent(unread).units),
        }
        return {name: makers[name]() for name in ROWS if name in self.options.rows}

    def _start(self):
        """The dense model, with the dropout of the recipe."""
        model = build(len(self.text.characters), self.options.units, self.recipe.dropout)
        model.set_weights(self.dense.model().get_weights())
        return model

    def _both_pruned(self):
        """The recipe of the LSTM, for the head, too."""
        return ksr.recipes.PruneTrained(
            self.recipe.steps,
            self.recipe.learning_rate,
            self.options.sparsity,
            BLOCK,
            lasso=self.recipe.lasso,
            layers=[keras.layers.LSTM, keras.layers.Dense],
        ).callbacks

    def _narrow(self):
        units = equal_units(len(self.text.characters), self.pruned.parameters)
        recipe = dataclasses.replace(self.recipe, sparsity=0.0, lasso=0.0, units_left=units)
        return trained(recipe, self.text, self.options.output, console).model()

    def _remaining(self, units):
        dense = dataclasses.replace(self.dense.recipe, units=units)
        trained(dense, self.text, self.options.output, console)
        sparsity = equal_sparsity(len(self.text.characters), units, self.pruned.parameters)
        recipe = dataclasses.replace(
            self.recipe, units=units, start=dense.name(), sparsity=sparsity
        )
        return trained(recipe, self.text, self.options.output, console).model()

    def _fitted(self, name, model, recipe, callbacks):
        """`model` after training by `recipe`, in layers that skip zero blocks, with what
        `callbacks` gives; or as an earlier run has left it.
        """
        path = self.options.output / f"units-{name}-{self.options.units}-seed{self.seed}.keras"
        asked = {**dataclasses.asdict(recipe), "text": self.text.digest}
        if record_of(path, asked) is None:
            console.print(f"training: {path.stem}")
            keras.utils.set_random_seed(self.seed)
            model = ksr.substitute(model, BLOCK, storage="masked")
            rate = ksr.recipes.warm_cosine(recipe.steps, recipe.learning_rate)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
            data = windows(self.text.train, recipe.batch, recipe.window, recipe.steps, recipe.seed)
            model.fit(data, callbacks=callbacks(), verbose=0, shuffle=False)
            keep(path, ksr.to_dense(model).save, asked, {})
        return keras.models.load_model(path)


def _without_unread(model):
    """`model` with a head that does not read the units that no block of the recurrent kernel
    reads.
    """
    head = model.get_layer("logits").kernel
    unread = (recurrent(model).cell.recurrent_kernel.numpy() == 0).all(axis=1)
    head.assign(np.where(unread[:, None], 0.0, head.numpy()))
    return model


def figures(models, text):
    """What each model of a `Models` is worth and costs: a dict for each."""
    found, timed = {}, {}
    for name, model in models.all().items():
        # Nothing is gained by packing a dense layer; as a masked one it runs on the same kernels.
        storage = "packed" if _has_zero_blocks(model) else "masked"
        sparse = ksr.substitute(model, BLOCK, storage=storage, dense=storage == "packed")
        timed[name] = sparse
        found[name] = {
            "units": recurrent(model).units,
            "bits": bits_per_character(model, text),
            "parameters": parameters(model),
            "bytes": bytes_of(sparse),
        }
    codes = text.evaluation()[0][:1, :1].repeat(STEPS, axis=1)
    times = microseconds_per_step(timed, rounds=40, inputs=codes, of_all=min)
    for name, value in times.items():
        found[name]["microseconds"] = value
    for name in set(models.same) & set(found):
        found[name]["largest_difference"] = _difference(*models.same[name], text)
    return found


def _has_zero_blocks(model):
    layer = recurrent(model)
    kernels = layer.cell.kernel.numpy(), layer.cell.recurrent_kernel.numpy()
    grids = [ksr.patterns.BlockGrid(len(one), layer.units, 4, BLOCK) for one in kernels]
    return any(not grid.live(one).all() for grid, one in zip(grids, kernels))


def _difference(model, other, text):
    """The largest difference of the probabilities of two models over held-out text, in float64:
    float32 rounds by more than what is looked for.
    """
    inputs, found = text.evaluation()[0][:8], []
    for one in (model, other):
        exact = keras.models.clone_model(one, clone_function=_in_float64)
        exact.set_weights([weights.astype("float64") for weights in one.get_weights()])
        found.append(keras.ops.softmax(exact(inputs)))
    return float(np.abs(found[0] - found[1]).max())


def _in_float64(layer):
    return type(layer).from_config({**layer.get_config(), "dtype": "float64"})


def table(options, runs):
    """The figures as a `rich` table; costs are those of the first seed."""
    made = Table("", "units left", "bits per character", "parameters", "bytes", "us a step")
    for name, first in runs[0].items():
        made.add_row(
            ROWS[name].format(units=options.units),
            " ".join(str(run[name]["units"]) for run in runs),
            spread([run[name]["bits"] for run in runs]),
            f"{first['parameters']:,}",
            f"{first['bytes']:,}",
            f"{first['microseconds']:.2f}",
        )
    return made


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    options = parse(arguments)
    try:
        char_lm.check(options)
        text = Text(options.text)
        options.output.mkdir(parents=True, exist_ok=True)
        runs = []
        for seed in range(1, options.seeds + 1):
            runs.append(figures(Models(options, text, seed), text))
            console.print(table(options, runs))
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    path = options.output / "units.json"
    write_json(
        path,
        {
            "text": text.described,
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "units": options.units,
            "block_shape": list(BLOCK),
            "runs": runs,
        },
    )
    console.print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
