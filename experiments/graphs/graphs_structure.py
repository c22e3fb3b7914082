"""Trains networks whose recurrent kernels are graphs, and asks which measure of a graph goes with
accuracy.

    python -m experiments.graphs.graphs_structure          # 100 graphs a cell, some hours
    python -m experiments.graphs.graphs_structure --quick  # a minute, to see that it runs

Each piece of some networks is a process of a minute or two and a file of its own; a run that was
stopped goes on with the pieces that are missing. The tables are made of the files that are there:
`--tables` makes them alone."""

import argparse
import itertools
import multiprocessing
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

import keras_sparse_rnn as ksr
from experiments.common.console import console_of
from experiments.common.files import figures_of, keep_figures
from experiments.graphs.graphs_measures import make_graph, measures
from experiments.graphs.graphs_networks import GATES, LAYERS, UNITS, Networks, initial_weights
from experiments.graphs.graphs_strings import LONGEST, dataset
from experiments.graphs.graphs_tables import show

LINKS = ("one way", "both ways")
CONTROL = 10  # networks without a graph, and of one graph


def pattern_of(graph, links):
    """The pattern of a graph for 50 units: links go `"one way"` or `"both ways"`, and every unit
    sees its own last state, too.
    """
    return ksr.patterns.from_graph(
        graph, UNITS // len(graph), self_links=True, acyclic=links == "one way"
    )


def train(task, cell, masks, seeds, strings, epochs):
    """The accuracy of networks that are trained side by side, after each epoch: `[networks,
    epochs]`.

    Args:
        masks: bool `[networks, units, gates * units]`, of the recurrent kernels of all layers.
        seeds: of the initial weights, one for each.
        strings: how many are trained on; as many as half of them are held out.
    """
    by_name = {f"recurrent{layer}": masks for layer in range(LAYERS)}
    weights = initial_weights(cell, seeds)
    for name in by_name:  # so that a state begins as large as without a mask
        weights[name] /= np.sqrt(masks.mean(axis=(1, 2), keepdims=True), dtype="float32")
    networks = Networks(cell, weights, by_name)
    data, held_out = dataset(task, strings, seed=0), dataset(task, strings // 2, 1, held_out=True)
    accuracy = []
    for epoch in range(epochs):
        networks.epoch(*data, seed=epoch)
        accuracy.append(networks.accuracy(*held_out))
    return np.transpose(accuracy)


def run_piece(path, asked):
    """Trains the networks of one piece and writes its file."""
    task, cell, links = asked["task"], asked["cell"], asked["links"]
    options = asked["strings"], asked["epochs"]
    if asked["numbers"] is None:  # the controls: no graph, and one graph with other seeds
        graph, seeds = make_graph(0)[1], range(CONTROL)
        one = pattern_of(graph, links).mask(GATES[cell])
        masks = [np.ones_like(one)] * CONTROL + [one] * CONTROL
        accuracy = train(task, cell, np.stack(masks), [*seeds, *seeds], *options)
        last = accuracy[:, -1].tolist()
        rows = {"dense": last[:CONTROL], "one graph": last[CONTROL:]}
    else:
        graphs = [make_graph(number) for number in asked["numbers"]]
        masks = np.stack([pattern_of(graph, links).mask(GATES[cell]) for _, graph in graphs])
        accuracy = train(task, cell, masks, asked["numbers"], *options)
        rows = [
            {
                "number": number,
                "family": family,
                "accuracy": own[-1],
                "curve": own,
                "measures": measures(graph),
            }
            for number, (family, graph), own in zip(asked["numbers"], graphs, accuracy.tolist())
        ]
    keep_figures(path, asked, {"rows": rows})


def pieces(options):
    """Yields `(path, asked)` of every piece."""
    for links, task, cell in itertools.product(options.links, options.tasks, options.cells):
        asked = {
            "task": task,
            "cell": cell,
            "links": links,
            "strings": options.strings,
            "epochs": options.epochs,
        }
        name = f"{task}-{cell}-{links.replace(' ', '-')}"
        yield options.out / f"{name}-control.json", {**asked, "numbers": None}
        for first in range(0, options.graphs, options.piece):
            numbers = list(range(first, min(first + options.piece, options.graphs)))
            yield options.out / f"{name}-{first:03}.json", {**asked, "numbers": numbers}


def read(path, asked):
    """What a piece has found, or None if it is not there or was asked for otherwise."""
    known = figures_of(path, asked)
    return known and known["rows"]


def found_so_far(options):
    """What the files say, by task, links and cell: dicts of `"graphs"`, a list of rows, and
    `"control"`.
    """
    found = {}
    for path, asked in pieces(options):
        rows = read(path, asked)
        if rows is not None:
            key = asked["task"], asked["links"], asked["cell"]
            one = found.setdefault(key, {"graphs": [], "control": {}})
            if asked["numbers"] is None:
                one["control"] = rows
            else:
                one["graphs"] += rows
    return found


def arguments(given):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graphs", type=int, default=100, help="of a cell")
    parser.add_argument("--piece", type=int, default=25, help="networks trained side by side")
    parser.add_argument("--tasks", nargs="+", choices=list(LONGEST), default=list(LONGEST))
    parser.add_argument("--cells", nargs="+", choices=list(GATES), default=list(GATES))
    parser.add_argument("--links", nargs="+", choices=LINKS, default=list(LINKS))
    parser.add_argument("--strings", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    folder = pathlib.Path(__file__).parent / "results" / "structure"
    parser.add_argument("--out", type=pathlib.Path, default=folder)
    options = parser.parse_args(given)
    if options.quick:
        options.graphs, options.piece, options.strings, options.epochs = 12, 12, 128, 1
    return options


def main(given=None):
    options = arguments(given)
    console = console_of(160)
    options.out.mkdir(parents=True, exist_ok=True)
    for path, asked in pieces(options):
        if options.tables or read(path, asked) is not None:
            continue
        # A process each: TensorFlow keeps what it has traced.
        process = multiprocessing.get_context("spawn").Process(target=run_piece, args=(path, asked))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"The piece {path.name} has failed")
        console.print(f"{path.name} done")
    show(found_so_far(options), console)


if __name__ == "__main__":
    main()
