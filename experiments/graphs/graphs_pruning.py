"""Prunes trained networks at once, at 10 to 90 %, and counts the epochs until they are as accurate
as before.

    python -m experiments.graphs.graphs_pruning          # three seeds, some twenty minutes
    python -m experiments.graphs.graphs_pruning --quick  # a minute, to see that it runs

Single weights go, those of least magnitude in all three layers together: of the kernels of the
inputs, of the recurrent kernels, or of both. Each piece is a process and a file of its own, as in
`graphs_structure`."""

import argparse
import multiprocessing
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

import keras_sparse_rnn as ksr
from experiments.common.console import console_of
from experiments.common.files import figures_of, keep_figures
from experiments.graphs.graphs_networks import GATES, LAYERS, Networks, initial_weights
from experiments.graphs.graphs_strings import LONGEST, dataset
from experiments.graphs.graphs_tables import recoveries

SPARSITIES = tuple(tenth / 10 for tenth in range(1, 10))
PARTS = {"both": ("kernel", "recurrent"), "inputs": ("kernel",), "recurrent": ("recurrent",)}


def masks_of(weights, part, sparsity):
    """Which weights of one network live, by the names of those that are pruned."""
    names = [f"{kind}{layer}" for kind in PARTS[part] for layer in range(LAYERS)]
    scores = np.concatenate([np.abs(weights[name]).ravel() for name in names])
    live = ksr.patterns.keep_largest(scores, np.ones(scores.size, int), sparsity)
    ends = np.cumsum([weights[name].size for name in names])[:-1]
    return {
        name: part.reshape(weights[name].shape) for name, part in zip(names, np.split(live, ends))
    }


def run_piece(path, asked):
    """Trains dense networks, prunes them and trains them on; writes the file of the piece."""
    cell, seeds = asked["cell"], asked["seeds"]
    data = dataset(asked["task"], asked["strings"], seed=0)
    held_out = dataset(asked["task"], asked["strings"] // 2, seed=1, held_out=True)
    dense = Networks(cell, initial_weights(cell, range(seeds)))
    for epoch in range(asked["epochs"]):
        dense.epoch(*data, seed=epoch)
    before, trained = dense.accuracy(*held_out), dense.numpy()
    of_seed = [{name: value[seed] for name, value in trained.items()} for seed in range(seeds)]
    cases = [(seed, sparsity) for sparsity in SPARSITIES for seed in range(seeds)]
    masks = [masks_of(of_seed[seed], asked["part"], sparsity) for seed, sparsity in cases]
    pruned = Networks(
        cell,
        {name: np.stack([of_seed[seed][name] for seed, _ in cases]) for name in trained},
        {name: np.stack([mask[name] for mask in masks]) for name in masks[0]},
    )
    accuracy = [pruned.accuracy(*held_out)]
    for epoch in range(asked["recovery"]):
        pruned.epoch(*data, seed=1000 + epoch)
        accuracy.append(pruned.accuracy(*held_out))
    rows = [
        {"seed": seed, "sparsity": sparsity, "dense": float(before[seed]), "accuracy": own.tolist()}
        for (seed, sparsity), own in zip(cases, np.transpose(accuracy))
    ]
    keep_figures(path, asked, {"rows": rows})


def pieces(options):
    """Yields `(path, asked)` of every piece."""
    for task in options.tasks:
        for cell in options.cells:
            for part in PARTS:
                asked = {
                    "task": task,
                    "cell": cell,
                    "part": part,
                    "seeds": options.seeds,
                    "strings": options.strings,
                    "epochs": options.epochs,
                    "recovery": options.recovery,
                }
                yield options.out / f"{task}-{cell}-{part}.json", asked


def arguments(given):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", choices=list(LONGEST), default=list(LONGEST))
    parser.add_argument("--cells", nargs="+", choices=list(GATES), default=list(GATES))
    parser.add_argument("--strings", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=15, help="of the dense training")
    parser.add_argument("--recovery", type=int, default=5, help="epochs after pruning")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    folder = pathlib.Path(__file__).parent / "results" / "pruning"
    parser.add_argument("--out", type=pathlib.Path, default=folder)
    options = parser.parse_args(given)
    if options.quick:
        options.seeds, options.strings, options.epochs, options.recovery = 1, 128, 1, 1
    return options


def main(given=None):
    options, found = arguments(given), {}
    console = console_of(160)
    options.out.mkdir(parents=True, exist_ok=True)
    for path, asked in pieces(options):
        if not options.tables and figures_of(path, asked) is None:
            # A process each: TensorFlow keeps what it has traced.
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=run_piece, args=(path, asked))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"The piece {path.name} has failed")
            console.print(f"{path.name} done")
        if (known := figures_of(path, asked)) is not None:
            found[asked["task"], asked["cell"], asked["part"]] = known["rows"]
    console.print(recoveries(found))


if __name__ == "__main__":
    main()
