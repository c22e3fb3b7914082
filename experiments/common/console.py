"""The console that an experiment prints to."""

import sys

from rich.console import Console


def console_of(width=120):
    """A `rich` console, of `width` columns where it is no terminal, so that tables are whole."""
    return Console(width=None if sys.stdout.isatty() else width)
