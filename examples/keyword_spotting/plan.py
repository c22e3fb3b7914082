"""Which models are trained, with which settings, and which settings are tried on the validation."""

import dataclasses
import json
import pathlib

UNITS = {"dense": (16, 32, 64, 128), "pruned": (64, 128, 192, 256)}
SEEDS = (0, 1, 2)
EPOCHS = 16  # of the search
LONGER = 3  # times as many for the models of the chart
RATES = 0.01, 0.02  # at first; then halved or doubled while that is better
BOUNDS = 0.005, 0.02
SETTINGS = {
    "dense": {"dropout": 0.0, "lasso": 0.0},
    "pruned": {"dropout": 0.0, "lasso": 1e-5},
}  # at first
OTHERS = {
    "dense": {"dropout": 0.2},
    "pruned": {"lasso": 1e-4},
}  # tried at the best rate of the largest size


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Args:
        kind: `"dense"` or `"pruned"`.
        units: of the LSTM.
        learning_rate: its peak.
        dropout: of what the LSTM gives.
        lasso: as `ksr.recipes.PruneTrained` takes it; 0 for a dense one.
        seed: an integer.
        epochs: how often all clips are seen.
    """

    kind: str
    units: int
    learning_rate: float
    dropout: float
    lasso: float
    seed: int = 0
    epochs: int = EPOCHS

    @property
    def name(self):
        """Of its files."""
        settings = f"{self.learning_rate:g}-{self.dropout:g}-{self.lasso:g}"
        return f"{self.kind}-{self.units}-{settings}-seed{self.seed}-{self.epochs}"

    def result(self, folder):
        """What is recorded of it, a dict; None before it is trained."""
        path = pathlib.Path(folder, "models", self.name + ".json")
        return json.loads(path.read_text()) if path.exists() else None


def search(kind, units, folder, epochs=EPOCHS):
    """The runs that choose the settings of a size: learning rates until the best has a worse one on
    either side or is at a bound, and for the largest size the other setting at the best. Only those
    that can be named yet.
    """
    at = lambda rate: Run(kind, units, rate, **SETTINGS[kind], epochs=epochs)
    rates = list(RATES)
    while all(at(rate).result(folder) for rate in rates):
        best = max(rates, key=lambda rate: at(rate).result(folder)["validation"])
        beside = [rate for rate in (best / 2, best * 2) if BOUNDS[0] <= rate <= BOUNDS[1]]
        new = [rate for rate in beside if rate not in rates]
        if not new:
            other = dataclasses.replace(at(best), **OTHERS[kind])
            return [at(rate) for rate in rates] + [other] * (units == max(UNITS[kind]))
        rates += new
    return [at(rate) for rate in rates]


def chosen(kind, units, folder, epochs=EPOCHS):
    """The settings that were best on the validation: a run of seed 0; None while one is missing."""
    runs = search(kind, units, folder, epochs)
    if not all(run.result(folder) for run in runs):
        return None
    return max(runs, key=lambda run: run.result(folder)["validation"])


def last_runs(kind, units, folder, epochs=EPOCHS):
    """The runs whose models are compared: with what was chosen, longer, of all seeds; empty while
    the search is not done.
    """
    best = chosen(kind, units, folder, epochs)
    if best is None:
        return []
    return [dataclasses.replace(best, seed=seed, epochs=LONGER * epochs) for seed in SEEDS]


def todo(folder, epochs=EPOCHS):
    """The runs that can be trained now and are not: the search, then those to be compared."""
    runs = [
        run
        for kind, sizes in UNITS.items()
        for units in sizes
        for run in last_runs(kind, units, folder, epochs) or search(kind, units, folder, epochs)
    ]
    return [run for run in runs if not run.result(folder)]


def finished(folder, epochs=EPOCHS):
    """The runs that are compared, as far as they are trained."""
    return [
        run
        for kind, sizes in UNITS.items()
        for units in sizes
        for run in last_runs(kind, units, folder, epochs)
        if run.result(folder)
    ]
