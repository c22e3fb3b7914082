"""A character language model that is sparse from the first step, beside one that is trained dense
and then pruned: accuracy, time and memory of the training.

    python -m experiments.text.char_evolution --quick
        a minute or two, to see it work; its accuracy means nothing
    python -m experiments.text.char_evolution --seeds 3
        LSTM-512 at 90 % in 16 x 16, every row
    python -m experiments.text.char_evolution --only "dense, then pruned" gradient
        some rows

The rows have as many steps: a dense training and a `recipes.PruneTrained` after it take half of
them each; the others train packed layers all the time, with the same warmed-up cosine. Their blocks
are exchanged where the gradient is largest (`"gradient"`), at random (`"random"`), or not at all
(`"fixed"`), from a start by Erdos-Renyi, in which the kernel of the inputs is denser, or a uniform
one. Each training runs in a process of its own, which says how much memory it has held at most.
Rows are told apart on the first half of the held-out text (validation); the second half (test) is
reported. Finished rows are kept in --output, so a run that was stopped goes on where it was.
Written to `evolution.json`."""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, add_text, quick_parser
from experiments.common.console import console_of
from experiments.common.files import figures_of, keep_figures, write_json
from experiments.text.char_measure import spread
from experiments.text.char_network import EMBEDDING, bits_of, build
from experiments.text.char_text import Text, windows

BLOCK = (16, 16)
FRACTION, EXCHANGES = 0.3, 100  # at first; in a training
ROWS = {
    "dense, then pruned": None,
    "gradient": {"growth": "gradient"},
    "random": {"growth": "random"},
    "fixed": {"growth": None},
    "gradient, uniform": {"growth": "gradient", "erdos_renyi": False},
    "gradient, three times the weights": {"growth": "gradient", "scale": 3.0},
    "gradient, four times as often": {"growth": "gradient", "exchanges": 4 * EXCHANGES},
}
BATCH, WINDOW = 32, 64  # of all rows
# Chosen with seed 0 on the validation text: of the dense training, the pruned one, and the others.
DROPOUTS, DENSE_RATE, RATE = (0.5, 0.2, 0.35), 8e-3, 16e-3


def sparse_model(characters, units, sparsity, dropout, erdos_renyi=True, scale=1.0):
    """The network of `char_network.build` with a packed LSTM, sparse from the start.

    `scale`: how many times larger than in the dense layer the first weights are.
    """
    shapes = [(EMBEDDING, units, 4), (units, units, 4)]
    kernel, recurrent = (
        ksr.patterns.erdos_renyi(sparsity, shapes) if erdos_renyi else (sparsity, sparsity)
    )
    inputs = keras.Input((None,), dtype="int32", name="characters")
    x = keras.layers.Embedding(characters, EMBEDDING, name="embedding")(inputs)
    layer = ksr.layers.BlockSparseLSTM(
        units,
        tuple(min(size, units) for size in BLOCK),
        sparsity=kernel,
        recurrent_sparsity=recurrent,
        kernel_initializer=keras.initializers.VarianceScaling(scale**2, "fan_avg", "uniform"),
        recurrent_initializer=keras.initializers.Orthogonal(scale),
        return_sequences=True,
        name="lstm",
    )
    x = keras.layers.Dropout(dropout, name="dropout")(layer(x))
    return keras.Model(inputs, keras.layers.Dense(characters, name="logits")(x), name="char_lm")


def fit(model, text, steps, seed, rate, callbacks=()):
    if isinstance(rate, float):
        rate = ksr.recipes.warm_cosine(steps, rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    data = windows(text.train, BATCH, WINDOW, steps, seed)
    model.fit(data, verbose=0, shuffle=False, callbacks=list(callbacks))


def trained(row, text, options, seed):
    """The model of a row, trained as `options` of the command line have it."""
    units, steps, rate, dropout = options.units, options.steps, options.rate, options.dropout
    if dropout is None:
        dropout = DROPOUTS[1 if ROWS[row] is None else 2]
    keras.utils.set_random_seed(seed)
    characters = len(text.characters)
    if ROWS[row] is not None:
        arguments = dict(ROWS[row])
        growth = arguments.pop("growth")
        exchanges = arguments.pop("exchanges", EXCHANGES)
        model = sparse_model(characters, units, options.sparsity, dropout, **arguments)
        frequency = max(1, steps * 3 // 4 // exchanges)
        evolution = growth and ksr.callbacks.Evolution(
            frequency, FRACTION, growth=growth, end_step=steps * 3 // 4
        )
        fit(model, text, steps, seed, rate, [evolution] if growth else [])
        return model
    block = tuple(min(size, units) for size in BLOCK)
    # In layers of the package, which train faster than Keras's when they are dense, too.
    dense, model = (
        ksr.substitute(build(characters, units, own), block, storage="masked")
        for own in (DROPOUTS[0], dropout)
    )
    fit(dense, text, steps // 2, seed, DENSE_RATE)
    model.set_weights(dense.get_weights())
    recipe = ksr.recipes.PruneTrained(
        steps - steps // 2, rate, sparsity=options.sparsity, block_shape=block, lasso=1e-5
    )
    fit(model, text, steps - steps // 2, seed, recipe.learning_rate, recipe.callbacks)
    return model


def measured(row, text, options, seed):
    """One training in this process: a dict."""
    loaded = _peak()
    begin = time.perf_counter()
    model = trained(row, text, options, seed)
    seconds, peak = time.perf_counter() - begin, _peak()
    inputs, targets = text.evaluation()
    half = len(inputs) // 2
    return {
        "validation": bits_of(model, inputs[:half], targets[:half]),
        "test": bits_of(model, inputs[half:], targets[half:]),
        "seconds": seconds,
        "bytes": peak,
        "bytes_beyond_loading": peak - loaded,
    }


def asked_of(row, text, options, seed):
    """Everything that the figures of a training depend on."""
    names = "units", "steps", "rate", "sparsity", "dropout"
    settings = {name: getattr(options, name) for name in names}
    return {"row": row, "seed": seed, "text": text.digest, **settings}


def parse(arguments=None):
    parser = quick_parser(__doc__, "a small network and few steps")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5000, help="of both trainings together")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--rate", type=float, default=RATE, help="peak, of sparse trainings")
    parser.add_argument("--dropout", type=float, help="of sparse trainings")
    parser.add_argument("--sparsity", type=float, default=0.9)
    add_text(parser)
    add_output(parser, "build/char_evolution", "figures")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.units, options.steps = 64, 40
    return options


def main(arguments=None):
    options = parse(arguments)
    text = Text(options.text)
    if options.measure:
        row, seed, file = options.measure
        known = measured(row, text, options, int(seed))
        keep_figures(pathlib.Path(file), asked_of(row, text, options, int(seed)), known)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    console = console_of()
    found = {}
    for row in options.only:
        for seed in range(options.first, options.first + options.seeds):
            name = f"{row.replace(', ', '-').replace(' ', '_')}-{options.units}-{options.steps}"
            name += f"-{100 * options.sparsity:g}%-{options.rate:g}"
            name += "" if options.dropout is None else f"-{options.dropout:g}"
            file = options.output / f"{name}-seed{seed}.json"
            asked = asked_of(row, text, options, seed)
            if figures_of(file, asked) is None:
                command = [sys.executable, "-m", "experiments.text.char_evolution"]
                for option in ("units", "steps", "rate", "sparsity"):
                    command += [f"--{option}", str(getattr(options, option))]
                for option in ("text", "dropout"):
                    value = getattr(options, option)
                    command += [] if value is None else [f"--{option}", str(value)]
                command += ["--measure", row, str(seed), str(file.resolve())]
                environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                subprocess.run(command, check=True, env=environment)
            found.setdefault(row, []).append(figures_of(file, asked))
    table = Table("", "validation", "test", "seconds", "peak memory", "beyond loading")
    for row, runs in found.items():
        table.add_row(
            row,
            *(spread([one[name] for one in runs]) for name in ("validation", "test")),
            f"{statistics.mean(one['seconds'] for one in runs):.0f}",
            *(
                f"{statistics.mean(one[name] for one in runs) / 1e6:.0f} MB"
                for name in ("bytes", "bytes_beyond_loading")
            ),
        )
    console.print(table)
    settings = {
        name: getattr(options, name) for name in ("units", "steps", "rate", "sparsity", "first")
    }
    write_json(options.output / "evolution.json", {**settings, "block": BLOCK, "rows": found})


def _peak():
    """What this process has held at most, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
