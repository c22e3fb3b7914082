"""Shows that training gets faster as it prunes: the time of each training step of one model,
trained in three ways.

    python -m benchmarks.training_speed [--units 512] [--steps 120] [--rounds 1] [--add]

- `dense`: Keras's own LSTM, compiled as Keras does by default;
- `masks`: the same with `BlockPruning`: it gets as sparse, and no faster, for Keras multiplies its
  zeros;
- `masked storage`: the same with its layers swapped by `ksr.substitute(model, storage="masked")`:
  it packs the live blocks at each step and computes with them alone.

All start from the same weights and see the same batches, so the last two should have the same loss
at the end. They train in turns of a few steps, so that a busy machine slows all of them alike, each
in one ordinary `fit`. The sparsity follows a PolynomialDecay from the first tenth of the steps to
three quarters of them. `--add` adds rounds to the file that an earlier call wrote, so that a long
measurement can be made in pieces; medians are taken over all rounds. The first steps, in which
TensorFlow compiles, are left out of all figures.

Writes training_speed.json, and a picture of time and sparsity over the steps."""

import argparse
import json
import os
import pathlib
import platform
import sys
import tempfile
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import keras_sparse_rnn as ksr
from benchmarks.training_summary import WAYS, drawn, printed, summary

FOLDER = pathlib.Path(__file__).parent
SYMBOLS = 128


class Turns:
    """Lets trainings that run in threads of their own take turns, so that only one of them is ever
    at work.

    Args:
        count: how many there are.
    """

    def __init__(self, count):
        self._waiting = list(range(count))
        self._changed = threading.Condition()

    def wait(self, number):
        """Returns when it is the turn of `number`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting[0] == number)

    def pass_on(self, leave=False):
        """Ends the turn; with `leave`, for good."""
        with self._changed:
            number = self._waiting.pop(0)
            self._waiting += [] if leave else [number]
            self._changed.notify_all()


class Timed(keras.callbacks.Callback):
    """Takes turns of `length` steps, and notes how long each step took, other callbacks included:
    it must be the last of them.
    """

    def __init__(self, turns, number, length, tell):
        super().__init__()
        self.turns, self.number, self.length, self.tell = turns, number, length, tell
        self.milliseconds, self.sparsities, self.loss = [], [], None

    def on_train_batch_begin(self, batch, logs=None):
        self.turns.wait(self.number)
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.milliseconds.append(1e3 * (time.perf_counter() - self._begin))
        self.sparsities.append(float(logs.get("sparsity", 0.0)))
        self.loss = float(logs["loss"])
        self.tell()
        if (
            len(self.milliseconds) % self.length == 0
            and len(self.milliseconds) < self.params["steps"]
        ):
            self.turns.pass_on()


def batches(options):
    """Windows of a text that every Python has, int32 `[batch, time]`, and the symbols that
    follow.
    """
    from pydoc_data import topics

    text = "".join(value for _, value in sorted(topics.topics.items()))
    text = np.minimum(np.frombuffer(text.encode(), np.uint8), SYMBOLS - 1).astype(np.int32)
    starts = np.random.default_rng(0).integers(
        0, len(text) - options.time - 1, options.batch * options.steps
    )
    windows = text[starts[:, None] + np.arange(options.time + 1)]
    return windows[:, :-1], windows[:, 1:]


def dense_model(options):
    """The model, compiled, with the same weights at each call."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((options.time,), dtype="int32"),
        keras.layers.Embedding(SYMBOLS, 64),
        keras.layers.LSTM(options.units, return_sequences=True),
        keras.layers.Dense(SYMBOLS),
    ]
    model = keras.Sequential(layers)
    model.compile(
        keras.optimizers.Adam(0.002), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def trainings(options):
    """`(model, callbacks)` of each of the `WAYS`."""
    shape, begin, end = tuple(options.block_shape), options.steps // 10, 3 * options.steps // 4
    schedule = ksr.schedules.PolynomialDecay(0.0, options.sparsity, begin, end)
    pruning = [
        ksr.callbacks.BlockPruning(schedule, shape, frequency=max(1, options.steps // 40))
        for _ in range(2)
    ]
    masked = ksr.substitute(dense_model(options), shape, storage="masked")
    return [(dense_model(options), []), (dense_model(options), pruning[:1]), (masked, pruning[1:])]


def measured(options, progress):
    """Trains in all ways: for each, the milliseconds and the sparsity after each step, and the last
    loss.
    """
    x, y = batches(options)
    turns, timers, threads, failures = Turns(len(WAYS)), [], [], []

    def train(model, callbacks, timer):
        try:
            turns.wait(timer.number)
            model.fit(
                x,
                y,
                batch_size=options.batch,
                shuffle=False,
                verbose=0,
                callbacks=[*callbacks, timer],
            )
        except BaseException as error:
            failures.append(error)
        finally:
            turns.wait(timer.number)
            turns.pass_on(leave=True)

    for number, (model, callbacks) in enumerate(trainings(options)):
        task = progress.add_task(WAYS[number], total=options.steps)
        timers.append(Timed(turns, number, options.turn, lambda task=task: progress.advance(task)))
        threads.append(
            threading.Thread(target=train, args=(model, callbacks, timers[-1]), daemon=True)
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {
        way: {"milliseconds": timer.milliseconds, "sparsity": timer.sparsities, "loss": timer.loss}
        for way, timer in zip(WAYS, timers)
    }


def write(path, save):
    """Has `save(draft)` write the file at `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = pathlib.Path(folder, path.name)
        save(draft)
        os.replace(draft, path)


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = {"units": 512, "batch": 32, "time": 50, "steps": 120, "turn": 4, "rounds": 1}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--sparsity", type=float, default=0.9, help="at the end (default: 0.9)")
    parser.add_argument(
        "--block-shape", type=int, nargs=2, default=[16, 16], metavar=("ROWS", "COLUMNS")
    )
    parser.add_argument("--add", action="store_true", help="add rounds to those in the file")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=FOLDER / "results" / "training_speed.json",
        metavar="FILE",
    )
    picture = FOLDER.parent / "docs" / "pictures" / "training_speed.png"
    parser.add_argument("--picture", type=pathlib.Path, default=picture, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.steps < 40:
        parser.error(
            f"--steps must be at least 40, so that there is a curve. Received: {options.steps}"
        )
    return options


def main(arguments=None):
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    settings = {
        name: getattr(options, name)
        for name in ("units", "batch", "time", "steps", "turn", "sparsity", "block_shape")
    }
    settings.update(
        threads=ksr.ops.num_threads() if ksr.ops.native_available() else None,
        tensorflow=tf.__version__,
        keras=keras.__version__,
    )
    settings.update(
        processor=f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{ksr.ops.cpu() if settings['threads'] else 'no native library'}"
    )
    rounds = []
    if options.add and options.output.exists():
        before = json.loads(options.output.read_text())
        if before["settings"] != settings:
            raise SystemExit(
                f"--add needs the settings of {options.output}: {before['settings']}. Received: "
                f"{settings}"
            )
        rounds = before["rounds"]
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for _ in range(options.rounds):
            rounds.append(measured(options, progress))
    found = summary(rounds)
    results = {"settings": settings, "summary": found, "rounds": rounds}
    write(options.output, lambda path: path.write_text(json.dumps(rounded(results)) + "\n"))
    write(options.picture, lambda path: drawn(found, settings).savefig(path, dpi=130))
    printed(found, console)
    console.print(f"{len(rounds)} round(s). Written: {options.output}, {options.picture}")


def rounded(value):
    """A tree of results with five digits of each number."""
    return keras.tree.map_structure(
        lambda leaf: float(f"{leaf:.5g}") if isinstance(leaf, float) else leaf, value
    )


if __name__ == "__main__":
    main()
