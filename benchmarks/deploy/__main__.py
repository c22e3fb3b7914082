"""The command line; the package's docstring says what it is for."""

import argparse
import json
import pathlib
import sys
import tempfile
import time

from rich.console import Console

from benchmarks import deploy, docs, machine
from benchmarks.deploy import picture, tables, turns
from benchmarks.deploy.roads import BLOCK, CASES, CELLS, SPARSITY
from benchmarks.training_speed import write

ROOT = pathlib.Path(__file__).parents[2]
OUTPUT = ROOT / "benchmarks" / "results" / "deploy.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "deployment.md")


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deploy",
        description=deploy.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="CASE", choices=CASES, help=", ".join(CASES))
    add("--rounds", type=int, default=5, help="turns of each process (default: 5)")
    add("--seconds", type=float, default=0.1, help="of a turn, for each figure (default: 0.1)")
    add("--onnx-python", default=sys.executable, help="a Python with onnx and onnxruntime")
    add("--output", type=pathlib.Path, default=OUTPUT, help="default: %(default)s")
    add("--draw", action="store_true", help="measure nothing: draw charts and write tables")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds must be at least 1, and --seconds more than 0")
    return options


def measure(options, console):
    """Measures the cases that were asked for, and writes the file anew after each."""
    settings = {
        "sparsity": SPARSITY,
        "block": list(BLOCK),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    results = {"settings": settings, "machine": machine.describe(1), "cases": {}}
    if options.output.exists():
        results["cases"] = json.loads(options.output.read_text())["cases"]
    if not turns.has_onnx(options.onnx_python):
        console.print(
            f"ONNX Runtime is left out: {options.onnx_python} cannot import onnx and onnxruntime; "
            "--onnx-python names a Python that can"
        )
        options.onnx_python = None
    for name in options.only or CASES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ksr-deploy-") as folder:
            versions = results["machine"]["versions"]
            case = turns.measured(CASES[name], pathlib.Path(folder), options, versions)
        results["cases"][name] = case
        results["cases"] = {
            name: results["cases"][name] for name in CASES if name in results["cases"]
        }
        text = json.dumps(results, indent=1) + "\n"
        write(options.output, lambda draft, text=text: draft.write_text(text))
        console.print(f"{name}: {time.monotonic() - began:.0f} seconds")
    return results


def refreshed(text, results):
    """A document with the tables of these results."""
    contents = tables.contents(results)
    return docs.filled(text, lambda _, name: contents[name])


def main(arguments=None):
    options, console = parsed(arguments), Console(highlight=False)
    if options.draw:
        results = json.loads(options.output.read_text())
    else:
        results = measure(options, console)
        for cell in CELLS:
            console.print(tables.speed(results, cell), markup=False, soft_wrap=True)
    if options.output == OUTPUT:
        picture.draw(results, ROOT / "docs" / "pictures")
        for document in DOCUMENTS:
            docs.write(document, refreshed(document.read_text(encoding="utf-8"), results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
