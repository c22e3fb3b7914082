"""`python -m benchmarks`: see the package."""

import argparse
import os
import pathlib
import sys

CHECKOUT = str(pathlib.Path(__file__).parents[1])
# The installed package goes first: the sources of the checkout have no native library, unless it
# was built there.
sys.path.sort(key=lambda entry: os.path.abspath(entry) == CHECKOUT)

from rich import progress  # noqa: E402
from rich.console import Console  # noqa: E402

import benchmarks  # noqa: E402
from benchmarks import docs, groups, machine, measure, peers, roofline, tables, texts  # noqa: E402
from benchmarks.process import Team  # noqa: E402
from benchmarks.results import Results  # noqa: E402

FOLDER = pathlib.Path(CHECKOUT, "benchmarks", "results")
DOCS = pathlib.Path(CHECKOUT, "docs", "benchmarks.md")


def parsed(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = machine.describe(0)["cores"]
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see whether everything runs"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=groups.GROUPS,
        metavar="GROUP",
        help=f"of {', '.join(groups.GROUPS)}",
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=peers.PEERS,
        metavar="PEER",
        help=f"do without the others of {', '.join(peers.PEERS)}",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=cores,
        help="for every peer (default: the cores of this process, %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help=(
            "the file of results (default: benchmarks/results/THREADS-threads.json; --quick: in "
            "build/)"
        ),
    )
    parser.add_argument(
        "--again", action="store_true", help="measure also what the file has already"
    )
    parser.add_argument(
        "--draw",
        type=pathlib.Path,
        metavar="FILE",
        help="measure nothing: draw the charts of this file",
    )
    parser.add_argument(
        "--table",
        nargs="?",
        type=pathlib.Path,
        const=True,
        metavar="FILE",
        help="measure nothing: write the tables of docs/benchmarks.md",
    )
    parser.add_argument(
        "--pictures",
        type=pathlib.Path,
        help="where charts go (default: docs/pictures; --quick: in build/; with --out: beside it)",
    )
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads must be at least 1. Received: {options.threads}")
    quick = pathlib.Path(CHECKOUT, "build", "benchmarks")
    # The charts of the documents are of the results that these quote, not of any others.
    beside = options.out.parent if options.out else quick if options.quick else DOCS.parent
    options.pictures = options.pictures or beside / "pictures"
    options.out = (
        options.out or (quick if options.quick else FOLDER) / f"{options.threads}-threads.json"
    )
    return options


def run(options, console):
    """Measures what the file lacks. Returns the `Results`."""
    results = Results(options.out)
    results.belongs_to(machine.describe(options.threads))
    chosen = (
        groups.quick()
        if options.quick
        else [problem for group in groups.GROUPS.values() for problem in group()]
    )
    chosen = [problem for problem in chosen if problem.group in (options.only or groups.GROUPS)]
    todo = [problem for problem in chosen if options.again or not results.has(problem)]
    if len(todo) < len(chosen):
        console.print(
            f"{len(chosen) - len(todo)} of {len(chosen)} problems are in {options.out} already; "
            "--again would measure them again"
        )
    if results.roofline is None or options.again:
        console.print("Measuring what the machine can do")
        results.roofline = roofline.measure(options.threads, options.quick)
        results.save()
    columns = (
        progress.TextColumn("{task.description:<48}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    bars = progress.Progress(*columns, console=console)
    with (
        Team(options.threads, options.peers) as team,
        roofline.Program() as program,
        bars as bar,
    ):
        everything = bar.add_task("all", total=sum(map(measure.work, todo)))
        for problem in todo:
            bar.update(everything, description=str(problem))
            cases = measure.measure(
                problem, team, lambda: bar.advance(everything), program.round_trip
            )
            results.add(problem, cases)
            for line in texts.troubles(problem, cases):
                console.print(line, style="red" if "failed" in line else "yellow", highlight=False)
    return results


def committed():
    """The results that the documents quote, or None while there are none."""
    return next(map(Results, sorted(FOLDER.glob("*-threads.json"))), None)


def measured(path):
    """The results of a file that is there."""
    if not path.exists():
        raise ValueError(
            f"`--draw` and `--table` must name a file of results. Received: {path}, which is not "
            "there"
        )
    return Results(path)


def main(arguments=None):
    options, console = parsed(arguments), Console()
    try:
        if options.table:
            docs.refresh(DOCS, committed() if options.table is True else measured(options.table))
        elif not options.draw:
            for table in tables.all_tables(run(options, console)):
                console.print(table.rich())
        if options.draw or not options.table:
            from benchmarks import charts

            charts.draw(measured(options.draw or options.out), options.pictures)
    except ValueError as error:
        console.print(str(error), style="red", highlight=False)
        return 2
    except ModuleNotFoundError as error:
        console.print(
            f'No charts: {error.name} is not installed; pip install ".[benchmark]" brings it',
            style="red",
            highlight=False,
            markup=False,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
