"""Trains all models of the plan, each in a process of its own; what is there is not trained again.

    python -m examples.keyword_spotting.train [--folder build/keyword_spotting] [--data FOLDER]

The settings of each size are chosen on the validation; the test is not read here. Features and
models are kept in the folder; a run that was stopped goes on with the next model."""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from . import data, plan
from .files import whole, write_json


def train(run, folder, source=None, count=None):
    """Trains one run and writes its model and what is known of it."""
    from . import network

    clips = {
        split: data.load(split, folder / "features", source, count)
        for split in ("training", "validation")
    }
    settings = {key: getattr(run, key) for key in ("learning_rate", "dropout", "lasso")}
    begin = time.perf_counter()
    model = network.trained(run.kind, run.units, clips["training"], settings, run.epochs, run.seed)
    seconds = time.perf_counter() - begin
    path = folder / "models" / (run.name + ".keras")
    with whole(path) as draft:
        model.save(draft)
    known = {
        **dataclasses.asdict(run),
        "seconds": round(seconds, 1),
        "weights": network.live_weights(model),
        "validation": network.accuracy(model, *clips["validation"]),
    }
    write_json(path.with_suffix(".json"), known)
    print(json.dumps(known), flush=True)


def add_arguments(parser):
    """The arguments that say which models are meant."""
    folder = pathlib.Path("build", "keyword_spotting")
    parser.add_argument("--folder", type=pathlib.Path, default=folder, help="of all that is made")
    parser.add_argument("--data", help="a folder in the layout of Speech Commands")
    parser.add_argument("--count", type=int, help="no more clips than so many of each split")
    parser.add_argument("--epochs", type=int, default=plan.EPOCHS, help="of a training")


def check_source(options):
    """Records in the folder which clips its models learn from.

    Raises:
        ValueError: they have learnt from others.
    """
    path = options.folder / "source.json"
    asked = {"data": options.data and os.path.abspath(options.data), "count": options.count}
    known = json.loads(path.read_text()) if path.exists() else asked
    if known != asked:
        raise ValueError(
            f"--folder: the models in {options.folder} learn from {known}. Received: {asked}; give "
            "another folder for these"
        )
    write_json(path, asked)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--run", help="train one run only, as JSON; for the processes")
    parser.add_argument("--list", action="store_true", help="print the runs to do, and stop")
    options = parser.parse_args(arguments)
    check_source(options)
    if options.run:
        run = plan.Run(**json.loads(options.run))
        return train(run, options.folder, options.data, options.count)
    if not options.list:
        for split in ("training", "validation"):  # before any process needs it
            data.load(split, options.folder / "features", options.data, options.count)
    while runs := plan.todo(options.folder, options.epochs):
        for run in runs:
            asked = json.dumps(dataclasses.asdict(run))
            if options.list:
                print(asked)
                continue
            given = ["--folder", str(options.folder), "--run", asked]
            given += ["--data", options.data] if options.data else []
            given += ["--count", str(options.count)] if options.count else []
            subprocess.run([sys.executable, "-m", __spec__.name, *given], check=True)
        if options.list:
            break


if __name__ == "__main__":
    main()
