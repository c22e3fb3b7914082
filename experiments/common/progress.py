"""The progress bar of a training."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(title, steps, console):
    """A `rich.progress.Progress` of one task of `steps`, which shows the task's field `state`, and
    the number of the task.
    """
    progress = Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
    )
    return progress, progress.add_task(title, total=steps, state="")
