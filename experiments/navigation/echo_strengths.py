"""How the best strength of a moduli penalty goes with the number of units, on another task: a
SimpleRNN repeats noise of some steps ago.

    python -m experiments.navigation.echo_strengths --quick     to see it work
    python -m experiments.navigation.echo_strengths             some minutes of one core

The task of `moduli_blocks`; all three kernels pruned to 70 % in single weights as in `navigation`.
The error is the share of the variance that the network misses, on noise that it was not trained on,
seed 0. Figures of each network are kept in a file of its own in --output, so a run that was stopped
goes on where it was; all together are written to `echo_strengths.json`."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

import keras_sparse_rnn as ksr
from experiments.common.arguments import add_output, quick_parser
from experiments.common.files import write_json
from experiments.common.search import descend
from experiments.navigation.moduli_blocks import BATCH, CHANNELS, DELAY, STEPS, echo
from experiments.navigation.navigation_measuring import Records, gradient_size, vertex
from experiments.navigation.navigation_tables import console

GRID = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
BEGIN = {128: 0.03, 256: 0.1}
SPARSITY = 0.7
MASKS, LAST = 30, 0.967  # as in the navigation task
HELD_OUT = 10_000  # seed


def trained(units, steps, strength, sparsity=SPARSITY, seed=0):
    """Trains one network; a dict of `"missed"`, in per cent of the variance, and `"gradient"`, the
    root mean square of the loss's gradient by a recurrent weight, before and after training.
    """
    keras.utils.set_random_seed(seed)
    regularizer = ksr.regularizers.Moduli(ksr.manifolds.Torus(), strength=strength, seed=seed)
    inputs = keras.Input((STEPS, CHANNELS))
    rnn = keras.layers.SimpleRNN(
        units,
        recurrent_regularizer=regularizer if strength else None,
        return_sequences=True,
        name="rnn",
    )
    outputs = keras.layers.Dense(CHANNELS, name="decoder")(rnn(inputs))
    model = keras.Model(inputs, outputs)
    x, y = echo(steps * BATCH, seed)
    before = _gradient_size(model, x, y)
    model = ksr.substitute(model, block_shape=(16, 16), storage="masked")
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), "mse")
    last = int(LAST * steps)
    pruning = ksr.callbacks.BlockPruning(
        ksr.schedules.PolynomialDecay(0.0, sparsity, 0, last, power=1),
        (1, 1),
        frequency=max(1, last // MASKS),
        criterion="l2",
        scope="model",
        layers=["rnn", "decoder"],
    )
    model.fit(
        x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[pruning] if sparsity else []
    )
    x, y = echo(500, HELD_OUT)
    missed = np.mean((model.predict(x, batch_size=250, verbose=0) - y)[:, DELAY:] ** 2)
    after = _gradient_size(ksr.to_dense(model), x, y)
    return {"missed": 100 * float(missed), "gradient": [before, after]}


def _gradient_size(model, x, y):
    def error(number):
        part = slice(number * BATCH, (number + 1) * BATCH)
        return tf.reduce_mean(tf.square(model(x[part]) - y[part]))

    return gradient_size(model.get_layer("rnn").cell.recurrent_kernel, error)


def of_units(units, steps, grid, begin, records):
    """The errors of one number of units: a dict of those of the dense network, of the network that
    is pruned without a penalty, and of the strengths that were tried.
    """

    def found(strength, sparsity=SPARSITY):
        asked = {"units": units, "steps": steps, "strength": strength, "sparsity": sparsity}
        name = f"{units}-units-{steps}-steps-{100 * sparsity:g}%-{strength:g}"
        return records.take(name, asked, lambda: trained(units, steps, strength, sparsity))

    dense = found(0.0, 0.0)
    result = {"units": units, "steps": steps, "gradient": dense["gradient"]}
    result |= {"dense": dense["missed"], "none": found(0.0)["missed"]}
    tried = descend(lambda strength: found(strength)["missed"], grid, begin, strides=(1,))
    return {**result, "tried": tried, "least": vertex(tried)}


def table(results):
    """Errors by strength, a row for each number of units."""
    strengths = sorted({strength for result in results for strength in result["tried"]})
    shown = Table(title="Missed of the variance, per cent, by strength; seed 0")
    for heading in ("units", "dense", "none", *(f"{strength:g}" for strength in strengths)):
        shown.add_column(heading, justify="right")
    shown.add_column("least of a parabola", justify="right")
    for result in results:
        errors = [result["dense"], result["none"], *map(result["tried"].get, strengths)]
        cells = ["" if error is None else f"{error:.2f}" for error in errors]
        least = result["least"]
        shown.add_row(str(result["units"]), *cells, f"{least:.2g}" if least else "")
    return shown


def main(arguments=None):
    """Trains and prints; returns the exit status."""
    parser = quick_parser(__doc__, "small networks, few steps")
    add_output(parser, "echo_strengths", "the figures")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    records = Records(options.output)
    sizes, steps, grid = ((16, 32), 20, GRID[2:5]) if options.quick else (BEGIN, 1000, GRID)
    results = [of_units(units, steps, grid, BEGIN.get(units, grid[1]), records) for units in sizes]
    write_json(options.output / "echo_strengths.json", results)
    console.print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
