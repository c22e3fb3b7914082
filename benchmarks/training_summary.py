"""What the rounds of `training_speed` say: the summary, as a table and as a picture."""

import statistics

import numpy as np
from rich.table import Table

WAYS = ("dense", "masks", "masked storage")
COMPILING = 3  # steps
WINDOW = 5  # steps, over which the picture takes medians


def summary(rounds):
    """What the rounds say: for each way the median of each step, the total and the time at the end;
    and where masked storage overtakes.
    """
    steps = {way: np.median([one[way]["milliseconds"] for one in rounds], axis=0) for way in WAYS}
    sparsity = rounds[0]["masked storage"]["sparsity"]
    count = len(sparsity)
    windows = [
        range(begin, min(begin + WINDOW, count)) for begin in range(COMPILING, count, WINDOW)
    ]
    medians = {
        way: [float(np.median(steps[way][list(window)])) for window in windows] for way in WAYS
    }
    last = count - count // 5  # the schedule is over
    found = {
        "first_step_of_windows": [window[0] for window in windows],
        "medians": medians,
        "total_seconds": {way: float(steps[way][COMPILING:].sum()) / 1e3 for way in WAYS},
        "milliseconds_at_the_end": {way: float(np.median(steps[way][last:])) for way in WAYS},
        "loss": {way: statistics.median(one[way]["loss"] for one in rounds) for way in WAYS},
        "sparsity": sparsity,
    }
    slower = [i for i in range(len(windows)) if medians["masked storage"][i] >= medians["dense"][i]]
    crossing = max(slower) + 1 if slower else 0
    faster = crossing < len(windows)
    found["overtakes"] = (
        {"step": windows[crossing][0], "sparsity": sparsity[windows[crossing][0]]}
        if faster
        else None
    )
    return found


def printed(found, console):
    """The summary as a table, and a sentence on where masked storage overtakes dense training."""
    table = Table(
        "", "ms a step at the end", "against dense", "seconds in all", "against dense", "last loss"
    )
    ends, totals = found["milliseconds_at_the_end"], found["total_seconds"]
    for way in WAYS:
        ratios = (f"{values['dense'] / values[way]:.2f} x faster" for values in (ends, totals))
        table.add_row(
            way,
            f"{ends[way]:.1f}",
            next(ratios),
            f"{totals[way]:.1f}",
            next(ratios),
            f"{found['loss'][way]:.3f}",
        )
    console.print(table)
    crossing = found["overtakes"]
    text = (
        f"from step {crossing['step']} on, at a sparsity of {crossing['sparsity']:.0%}"
        if crossing
        else "never"
    )
    console.print(f"Masked storage is faster than dense training {text}.")


def drawn(found, settings):
    """The picture: step times above, the sparsity below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middles = np.add(found["first_step_of_windows"], (WINDOW - 1) / 2)
    for way, color in zip(WAYS, ("tab:gray", "tab:orange", "tab:blue")):
        upper.plot(
            middles,
            found["medians"][way],
            label=f"{way}, {found['total_seconds'][way]:.0f} s in all",
            color=color,
            linewidth=1.8,
        )
    crossing = found["overtakes"]
    if crossing:
        for axis in (upper, lower):
            axis.axvline(crossing["step"], color="black", linewidth=0.8, linestyle=":")
        upper.annotate(
            f" faster than dense from here on, {crossing['sparsity']:.0%} sparse",
            (crossing["step"], 2),
            fontsize=8,
        )
    upper.set(ylabel="milliseconds a training step", ylim=(0, None))
    upper.legend(fontsize=8)
    upper.set_title(
        f"LSTM of {settings['units']} units, batch {settings['batch']}, {settings['time']} time "
        f"steps, Adam: pruned to {settings['sparsity']:.0%} in "
        f"{settings['block_shape'][0]} x {settings['block_shape'][1]} while it trains",
        fontsize=9,
    )
    lower.plot(found["sparsity"], color="tab:blue", linewidth=1.8)
    lower.set(xlabel="training step", ylabel="sparsity", ylim=(0, 1))
    for axis in (upper, lower):
        axis.grid(alpha=0.25)
    return figure
