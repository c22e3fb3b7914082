"""What regularizers add to a training step of an LSTM.

    python -m benchmarks.regularizers [--layers keras masked sparse] [--units 1024] [--rounds \
        11] [--add]

Layers: Keras's LSTM (`keras`), ours in masked storage without a zero (`masked`) and 90 % sparse in
16 x 16 (`sparse`). Each is trained by itself, without a regularizer and with each of several, on
both kernels (Moduli, TrainableModuli and L1: on the recurrent one), by `train_on_batch` with Adam
under Keras's default compilation. The variants take turns, one step each in every round, so that a
busy machine slows all of them alike; a round compares each step with that without a regularizer
right before it, and the table has the medians of these differences. `--add` adds rounds to the file
that an earlier call wrote.

Writes regularizers.json."""

import argparse
import json
import os
import pathlib
import platform
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import keras_sparse_rnn as ksr
from benchmarks.training_speed import rounded, write

OUTPUT = pathlib.Path(__file__).parent / "results" / "regularizers.json"
LAYERS = {
    "keras": "Keras LSTM",
    "masked": "masked storage, 0 %",
    "sparse": "masked storage, 90 % in 16 x 16",
}
NONE = "none"


def variants():
    """What is measured beside no regularizer, by name: the arguments of the layer."""
    moduli, trainable = (
        kind(ksr.manifolds.Torus(), strength=0.1, seed=0)
        for kind in (ksr.regularizers.Moduli, ksr.regularizers.TrainableModuli)
    )
    kinds = {}
    for shape in ((16, 16), (1, 16), (4, 4)):
        lasso = ksr.regularizers.GroupLasso(1e-6, shape)
        kinds[f"GroupLasso {shape[0]} x {shape[1]}"] = {
            "kernel_regularizer": lasso,
            "recurrent_regularizer": lasso,
        }
    proximal = ksr.constraints.ProximalGroupLasso(1e-6, learning_rate=1e-3)
    kinds["ProximalGroupLasso 16 x 16"] = {
        "kernel_constraint": proximal,
        "recurrent_constraint": proximal,
    }
    kinds["Moduli"] = {"recurrent_regularizer": moduli}
    kinds["TrainableModuli"] = {"recurrent_regularizer": trainable}
    kinds["L1"] = {"recurrent_regularizer": ksr.regularizers.MeanL1(1e-3)}
    kinds["Keras L2"] = {
        "kernel_regularizer": keras.regularizers.L2(1e-6),
        "recurrent_regularizer": keras.regularizers.L2(1e-6),
    }
    return kinds


def training_step(layer, arguments, options):
    """A function that makes one training step of a fresh model."""
    keras.utils.set_random_seed(0)
    if layer == "keras":
        rnn = keras.layers.LSTM(options.units, **arguments)
    else:
        rnn = ksr.layers.BlockSparseLSTM(
            options.units,
            (16, 16),
            storage="masked",
            sparsity=0.9 if layer == "sparse" else 0.0,
            **arguments,
        )
    model = keras.Sequential([keras.Input((options.time, options.units)), rnn])
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(options.batch, options.time, options.units)), tf.float32)
    y = tf.zeros((options.batch, options.units))
    return lambda: model.train_on_batch(x, y)


def measured(layer, options, tell):
    """Milliseconds of each step: by variant, a list over the rounds."""
    steps = {
        name: training_step(layer, arguments, options)
        for name, arguments in [(NONE, {}), *variants().items()]
    }
    for step in steps.values():
        step()
        tell()
    milliseconds = {name: [] for name in steps}
    milliseconds["right before"] = []
    for _ in range(options.rounds):
        for name, step in steps.items():
            if name != NONE:
                milliseconds["right before"].append(timed(steps[NONE]))
                milliseconds[name].append(timed(step))
        tell()
    del milliseconds[NONE]
    return milliseconds


def timed(step):
    begin = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - begin)


def summary(milliseconds):
    """By variant: the median step, and the median of what it adds to the step without a regularizer
    right before it, in milliseconds and as a share.
    """
    names = [name for name in milliseconds if name != "right before"]
    before = np.reshape(milliseconds["right before"], (-1, len(names)))
    none = float(np.median(before))
    found = {NONE: {"milliseconds": none, "added": 0.0, "share": 0.0}}
    for number, name in enumerate(names):
        added = float(np.median(np.subtract(milliseconds[name], before[:, number])))
        found[name] = {
            "milliseconds": float(np.median(milliseconds[name])),
            "added": added,
            "share": added / none,
        }
    return found


def printed(results, console):
    for layer, milliseconds in results["milliseconds"].items():
        table = Table("", "ms a step", "ms added", "added", title=LAYERS[layer])
        for name, one in summary(milliseconds).items():
            table.add_row(
                name, f"{one['milliseconds']:.1f}", f"{one['added']:.2f}", f"{one['share']:.1%}"
            )
        console.print(table)


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", nargs="+", choices=list(LAYERS), default=list(LAYERS))
    for name, default in {"units": 1024, "batch": 32, "time": 50, "rounds": 11}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--add", action="store_true", help="add rounds to those in the file")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT, metavar="FILE")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    settings = {name: getattr(options, name) for name in ("units", "batch", "time")}
    native = ksr.ops.native_available()
    settings.update(
        threads=ksr.ops.num_threads() if native else None,
        tensorflow=tf.__version__,
        keras=keras.__version__,
    )
    settings.update(
        processor=f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{ksr.ops.cpu() if native else 'no native library'}"
    )
    results = {"settings": settings, "milliseconds": {}}
    if options.add and options.output.exists():
        results = json.loads(options.output.read_text())
        if results["settings"] != settings:
            raise SystemExit(
                f"--add needs the settings of {options.output}: {results['settings']}. Received: "
                f"{settings}"
            )
        others = {name for of_layer in results["milliseconds"].values() for name in of_layer} ^ {
            "right before",
            *variants(),
        }
        if others:
            raise SystemExit(
                f"--add needs a file with the same regularizers. {options.output} and this "
                f"version differ in: {', '.join(sorted(others))}"
            )
    columns = (
        TextColumn("{task.description:>32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for layer in options.layers:
            task = progress.add_task(LAYERS[layer], total=options.rounds + 1 + len(variants()))
            found = measured(layer, options, lambda task=task: progress.advance(task))
            before = results["milliseconds"].get(layer, {})
            results["milliseconds"][layer] = {
                name: [*before.get(name, []), *times] for name, times in found.items()
            }
            keras.utils.clear_session()
    results["summary"] = {
        layer: summary(milliseconds) for layer, milliseconds in results["milliseconds"].items()
    }
    write(options.output, lambda path: path.write_text(json.dumps(rounded(results)) + "\n"))
    printed(results, console)
    console.print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
